"""Every query of the dashboard and of the alert rules asks for something that the services really export."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.observability import dashboard
from services.ingest.contact_log import BUFFERED_BYTES_MAX
from tests.unit.observability.queries import complaints, exported
from tests.unit.runtime.metrics_table import MODULES, registered

ROOT = Path(__file__).parents[3]
ALERTS = ROOT / "deploy" / "observability" / "alerts.yaml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
PAGES = [rule for rule in RULES if rule["labels"]["severity"] == "page"]
RANGE_MIN_S = 5 * 60
"""With a scrape each minute a shorter one may hold a single sample, of which there is no rate."""
PANELS = [panel for _, row in dashboard.ROWS for panel in row]
SERIES = exported()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_asks_only_for_what_is_exported(panel: dashboard.Panel) -> None:
    for query in panel.queries:
        assert complaints(query.expr, SERIES) == []
        assert set(re.findall(r"{{(\w+)}}", query.legend)) <= set(re.findall(r"\w+", query.expr)), "an unknown label"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_only_for_what_is_exported(rule: dict[str, Any]) -> None:
    assert complaints(rule["expr"], SERIES) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    page, _, heading = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert heading in {title.lower().replace(" ", "-") for title in headings}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]


@pytest.mark.parametrize("module", MODULES.values())
def test_a_service_of_which_no_process_is_left_is_missed(module: str) -> None:
    own = {next(iter(metric.describe())).name for metric in registered(import_module(module))}
    asked = [set(re.findall(r"absent\((\w+?)(?:_total)?\)", rule["expr"])) for rule in PAGES]
    assert module == "services.runtime.metrics" or any(names & own for names in asked)


def test_a_deployment_without_webhooks_does_not_miss_them() -> None:
    (rule,) = [rule for rule in RULES if rule["alert"] == "TidegateWebhooksAbsent"]
    assert "and count(present_over_time(tidegate_webhook_failures_kept[7d])) > 0" in rule["expr"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_range_holds_several_scrapes_a_minute_apart(rule: dict[str, Any]) -> None:
    unit_s = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
    for length, unit in re.findall(r"\[(\d+)([smhd])\]", rule["expr"]):
        assert int(length) * unit_s[unit] >= RANGE_MIN_S


def test_a_process_that_ends_soon_after_each_start_pages() -> None:
    """Between two of its lives its series are gone, so no condition on them holds for long."""
    (rule,) = [rule for rule in PAGES if "process_start_time_seconds[" in rule["expr"] and "changes(" in rule["expr"]]
    started, ours = rule["expr"].split(" and on (job, instance) ")
    assert started == "changes(process_start_time_seconds[30m]) >= 3"
    assert ours == "last_over_time(tidegate_ready_info[30m])", "also while it is away, and no process of somebody else"
    assert "for" not in rule


def test_a_single_refused_write_pages_nobody() -> None:
    """A rate over a range is above nothing for nearly as long as the range, whatever was counted in it."""
    (rule,) = [rule for rule in RULES if rule["alert"] == "TidegateWritesRefused"]
    (minutes,) = re.findall(r"\[(\d+)m\]", rule["expr"])
    assert rule["for"] == f"{minutes}m"


def test_a_lag_pages_that_is_large_and_does_not_grow() -> None:
    expressions = [rule["expr"] for rule in PAGES]
    assert "sum(tidegate_evaluator_lag_records) > 10000" in expressions


@pytest.mark.parametrize(
    ("alert", "counter"),
    [
        ("TidegateUndecided", "tidegate_evaluator_undecided_total"),
        ("TidegateDeadLetters", "tidegate_evaluator_dead_letters_total"),
    ],
)
def test_what_an_evaluator_counts_before_its_first_scrape_is_alerted_on(alert: str, counter: str) -> None:
    """It counts these while it starts: the series begins, or goes on, at the value that it will keep."""
    (rule,) = [rule for rule in RULES if rule["alert"] == alert]
    in_hour, started = rule["expr"].split(" or ")
    assert in_hour == f"sum(increase({counter}[1h])) > 0"
    assert started == f"sum({counter} and on (job, instance) time() - process_start_time_seconds < 3600) > 0"


def test_what_an_evaluator_counts_before_its_first_scrape_is_charted() -> None:
    (panel,) = [panel for panel in PANELS if panel.title == "Forgotten markers"]
    assert not [query.expr for query in panel.queries if re.search(r"(rate|increase)\(", query.expr)]


def test_what_every_replica_reads_is_not_counted_once_for_each() -> None:
    (rule,) = [rule for rule in RULES if rule["alert"] == "TidegateWebhookFailures"]
    assert rule["expr"] == "max(tidegate_webhook_failures_kept) > 0"


def test_records_without_sense_are_told_of_once_and_while_they_are_new() -> None:
    """Some stand in topics that are kept for ever, and each start of a process counts them again."""
    (rule,) = [rule for rule in RULES if rule["alert"] == "TidegateLogRecordsUnreadable"]
    in_hour, started = rule["expr"].split(" or ")
    counter = "tidegate_unreadable_log_records_total"
    assert in_hour == f"max by (topic) (increase({counter}[1h])) > 0"
    assert started == (
        f"max by (topic) ({counter} and on (job, instance) time() - process_start_time_seconds < 3600) > 0"
    )


def test_a_buffer_is_called_nearly_full_at_three_quarters_of_its_limit() -> None:
    (rule,) = [rule for rule in RULES if rule["alert"] == "TidegateBufferNearlyFull"]
    limit_mib = BUFFERED_BYTES_MAX >> 20
    assert rule["expr"] == f"max(tidegate_buffered_bytes) > {limit_mib * 3 // 4} * 1024 * 1024"
    assert f" of {limit_mib} MiB." in rule["annotations"]["description"]


def test_the_committed_dashboard_is_what_the_panels_say() -> None:
    assert dashboard.DOCUMENT.read_text(encoding="utf-8") == dashboard.render(), (
        "run python -m deploy.observability.dashboard"
    )
    panels = json.loads(dashboard.render())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel.title for panel in PANELS} <= {panel["title"] for panel in panels}


def test_every_metric_of_ours_is_charted_or_alerted_on() -> None:
    asked = " ".join([query.expr for panel in PANELS for query in panel.queries] + [rule["expr"] for rule in RULES])
    ours = {name for name in SERIES if name.startswith("tidegate_") and not name.endswith(("_sum", "_count"))}
    assert {name for name in ours if name not in asked} == {
        "tidegate_evaluator_spans_dropped_total",  # only tells that a trace has a gap
        "tidegate_evaluator_recovered_records",  # explains the length of a recovery, on demand
        "tidegate_segment_records_read_total",  # only tells that a reader of segments is alive
    }


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("sum(rate(tidegate_evaluator_record_total[5m]))", "no service exports tidegate_evaluator_record_total"),
        (
            "histogram_quantile(0.99, sum by (le) (rate(tidegate_evaluator_latency_seconds[5m])))",
            "no service exports tidegate_evaluator_latency_seconds",
        ),
        ("tidegate_requests_total{code='500'}", "tidegate_requests_total has no label code"),
        ("sum by (partition) (tidegate_buffered_bytes)", "has the label partition"),
        ("max(tidegate_evaluator_contacts) > 1 and sum(tidegate_ticks) > 0", "no service exports tidegate_ticks"),
        ("absent(tidegate_nothing)", "no service exports tidegate_nothing"),
        ("deriv(tidegate_lag_records[10m])", "no service exports tidegate_lag_records"),
    ],
)
def test_a_broken_query_is_caught(query: str, complaint: str) -> None:
    assert any(complaint in found for found in complaints(query, SERIES)), complaints(query, SERIES)
