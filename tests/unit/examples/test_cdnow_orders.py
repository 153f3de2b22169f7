"""The shop's orders: whole, moved to today, and split without loss."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime

import pytest

from examples.cdnow.orders import Order, as_csv, buyers_after, read_orders, split
from examples.cdnow.segments import SEGMENTS, sample_contacts
from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.source import parse_where
from tidegate import SegmentDefinition

TODAY = date(2026, 11, 23)


@pytest.fixture(scope="module")
def orders() -> list[Order]:
    return read_orders(TODAY)


def test_every_order_and_contact_of_the_published_data_is_there(orders: list[Order]) -> None:
    assert len(orders) == 69_659
    assert len({order.contact_id for order in orders}) == 23_570
    assert round(sum(order.amount for order in orders), 2) == 2_500_315.63


def test_the_last_order_is_today_and_the_first_as_long_ago_as_it_was(orders: list[Order]) -> None:
    assert orders[-1].at.date() == TODAY
    assert (TODAY - orders[0].at.date()).days == (date(1998, 6, 30) - date(1997, 1, 1)).days


def test_the_split_loses_no_order_and_every_contact_is_imported(orders: list[Order]) -> None:
    imported, live = split(orders, TODAY)
    assert len(imported) + len(live) == len(orders)
    assert len(live) == 2_043
    assert len(buyers_after(imported)) == 23_570


def test_a_contact_after_all_orders_sums_them(orders: list[Order]) -> None:
    buyer = buyers_after(orders)["00002"]
    assert (buyer.orders, buyer.total_spent) == (2, 89.0)
    assert buyer.attributes()["repeat_flag"] is True


def test_the_csv_has_one_row_a_contact_and_keeps_leading_zeros(orders: list[Order]) -> None:
    imported, _ = split(orders, TODAY)
    rows = list(csv.DictReader(io.StringIO(as_csv(buyers_after(imported).values()).decode())))
    assert len(rows) == 23_570
    assert rows[0]["contact_id"] == "00001"
    assert {row["repeat_flag"] for row in rows} == {"true", "false"}


@pytest.mark.parametrize("definition", SEGMENTS, ids=lambda definition: str(definition.id))
def test_every_segment_of_the_demo_is_accepted_by_the_language(definition: SegmentDefinition) -> None:
    assert not isinstance(parse_where(definition.where, AttributeCatalogue.empty()), Rejection)


def test_the_sample_contacts_name_the_attributes_of_the_product_segments() -> None:
    named = {name for contact in sample_contacts(datetime(2026, 1, 1, tzinfo=UTC)) for name in contact["attributes"]}
    assert named >= {"plan", "last_active", "trial_ends_at", "support_tickets", "total_sessions", "has_opened_campaign"}
