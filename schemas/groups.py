"""The consumer groups of our own services, by the names that follow the workspace's prefix: the only place for these.

Rule: what a group has committed says how far a service has come, so operators' commands and the broker's grants mean
the same name as the service. This module must stay free of I/O and of every other module of ours.
"""

from __future__ import annotations

EVALUATOR_GROUP = "evaluator"
"""Its transactional ids begin so too, and end in the partition."""
SCHEDULER_GROUP = "tidegate-scheduler"
"""Unless a setting says otherwise."""
WEBHOOK_GROUPS = "tidegate-webhook-"
"""How each webhook's group begins; the webhook's id ends it."""


def group_name(prefix: str, group: str) -> str:
    """The group's name in the workspace that owns `prefix`."""
    return prefix + group
