"""The segments that the demo creates, and sample contacts for those that a shop's orders cannot show.

Shape: four over the shop's orders, four product use cases, one written in code and one in text. The sample contacts'
instants are chosen so that some conditions flip by time alone within the first minute.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from tidegate import SegmentDefinition, segment

SEGMENTS: Final[tuple[SegmentDefinition, ...]] = (
    segment("repeat-buyers", "orders >= 2", name="Repeat buyers"),
    segment("lapsed", "last_order_at more than 60 days ago AND orders >= 2", name="Lapsed"),
    segment("big-and-recent", "total_spent > 200 AND last_order_at within 30 days", name="Big and recent"),
    segment("new-buyers", "first_order_at within 7 days AND NOT repeat_flag", name="New buyers"),
    segment(
        "engaged-pro",
        'plan is "Pro" AND last_active within 7 days AND email_verified is true',
        name="Engaged on Pro",
    ),
    segment("trial-ending", "trial_ends_at within 3 days AND has_upgraded is false", name="Trial ending"),
    segment(
        "at-risk",
        'plan != "Free" AND last_login more than 14 days ago AND support_tickets >= 1',
        name="Paying and at risk",
    ),
    segment("win-back", "last_login more than 60 days ago AND total_sessions > 20", name="Win back"),
    segment(
        "active_pro_users",
        where=[{"plan": "pro"}, {"last_active": {"within": "7d"}}, {"email_verified": True}],
        mode="realtime",
        name="Active Pro users",
    ),
    segment(
        "reachable-pro",
        "plan is Pro AND (last_active within 7d OR has_opened_campaign) AND NOT churn_risk_flag",
        name="Reachable on Pro",
    ),
)


def sample_contacts(now: datetime) -> list[dict[str, Any]]:
    """Contacts that enter and leave the product segments, some of them by time alone soon after `now`."""

    def at(**shift: float) -> str:
        return (now + timedelta(**shift)).isoformat()

    return [
        {"id": "ada", "attributes": {"plan": "Pro", "email_verified": True, "last_active": at(days=-7, seconds=40)}},
        {"id": "ben", "attributes": {"plan": "Trial", "has_upgraded": False, "trial_ends_at": at(days=3, seconds=20)}},
        {"id": "cho", "attributes": {"plan": "Team", "support_tickets": 2, "last_login": at(days=-14, seconds=30)}},
        {"id": "dee", "attributes": {"plan": "Free", "total_sessions": 25, "last_login": at(days=-61)}},
        {"id": "eli", "attributes": {"plan": "pro", "has_opened_campaign": True, "churn_risk_flag": False}},
        {"id": "fay", "attributes": {"first_order_at": at(), "last_order_at": at(), "orders": 1, "total_spent": 24.5}},
    ]
