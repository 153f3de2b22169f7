"""The Grafana dashboard, panels as data: `python -m deploy.observability.dashboard` writes it beside this file.

Rule: a panel answers a question an operator asks, has a unit, and asks only for metrics that the services export (a
test reads every query). This module must not hold thresholds that page somebody: those are the alert rules'.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).with_name("grafana-dashboard.json")
GRID_COLUMNS: Final = 24
PANEL_WIDTH: Final = 8
PANEL_HEIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Query:
    """One series of a panel. `legend` may name labels in double braces."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart. Units: Grafana's names of units."""

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]


def _quantiles(metric: str, by: str = "") -> tuple[Query, ...]:
    """The median and the 99th percentile of a histogram, per `by` if given."""
    grouping, prefix = (f"le, {by}", f"{{{{{by}}}}} ") if by else ("le", "")
    rate = f"sum by ({grouping}) (rate({metric}_bucket[$__rate_interval]))"
    return tuple(
        Query(f"histogram_quantile({quantile}, {rate})", f"{prefix}{name}")
        for quantile, name in (("0.5", "p50"), ("0.99", "p99"))
    )


def _rate(metric: str, legend: str, by: str = "") -> Query:
    grouping = f" by ({by})" if by else ""
    return Query(f"sum{grouping} (rate({metric}[$__rate_interval]))", legend)


ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    (
        "What is promised",
        (
            Panel(
                "Write to commit",
                "From the broker's timestamp of a write to the commit of its changes. Promise: p99 below 1 s.",
                "s",
                _quantiles("tidegate_evaluator_latency_seconds"),
            ),
            Panel(
                "Lag",
                "Records on the broker that are not evaluated yet, by partition.",
                "short",
                (Query("sum by (partition) (tidegate_evaluator_lag_records)", "{{partition}}"),),
            ),
            Panel(
                "Deadline lateness",
                "Of the earliest deadline that has not fired. Promise: one tick interval plus processing.",
                "s",
                (Query("max by (partition) (tidegate_evaluator_deadline_lateness_seconds)", "{{partition}}"),),
            ),
            Panel(
                "Dead letters",
                "Input records refused. Each is kept with its reason on dead-letters.",
                "short",
                (_rate("tidegate_evaluator_dead_letters_total", "partition {{partition}}", "partition"),),
            ),
            Panel(
                "Ready",
                "1 while a process declares itself ready.",
                "short",
                (Query("min by (job, instance) (tidegate_ready_info)", "{{job}} {{instance}}"),),
            ),
            Panel(
                "Tick lateness",
                "From when a tick was due to its acknowledgement by the worst partition, or so far without one.",
                "s",
                _quantiles("tidegate_tick_lateness_seconds"),
            ),
        ),
    ),
    (
        "Ingest",
        (
            Panel(
                "Answers",
                "HTTP requests answered, by status.",
                "reqps",
                (_rate("tidegate_requests_total", "{{status}}", "status"),),
            ),
            Panel(
                "Time to answer",
                "From a request's arrival to its answer, by route.",
                "s",
                (
                    Query(
                        "histogram_quantile(0.99, sum by (le, route) "
                        "(rate(tidegate_request_duration_seconds_bucket[$__rate_interval])))",
                        "p99 {{route}}",
                    ),
                ),
            ),
            Panel(
                "Contact changes",
                "Acknowledged by the broker, refused, and answered with 503.",
                "cps",
                (
                    _rate("tidegate_contact_changes_appended_total", "acknowledged"),
                    _rate("tidegate_contact_changes_refused_total", "refused"),
                    _rate("tidegate_contact_changes_unacknowledged_total", "not acknowledged"),
                ),
            ),
            Panel(
                "Append",
                "From hand-over to the broker's acknowledgement.",
                "s",
                _quantiles("tidegate_append_duration_seconds"),
            ),
            Panel(
                "Held in memory",
                "Bytes not yet acknowledged, and bytes of request bodies.",
                "bytes",
                (
                    Query("sum(tidegate_buffered_bytes)", "buffered"),
                    Query("sum(tidegate_bodies_bytes)", "request bodies"),
                ),
            ),
            Panel(
                "Import rows",
                "CSV rows read, by outcome.",
                "cps",
                (_rate("tidegate_import_rows_total", "{{outcome}}", "outcome"),),
            ),
        ),
    ),
    (
        "Evaluator",
        (
            Panel(
                "Records and changes",
                "Records evaluated, membership changes committed, contacts woken by a deadline.",
                "cps",
                (
                    _rate("tidegate_evaluator_records_total", "records"),
                    _rate("tidegate_evaluator_changes_total", "changes"),
                    _rate("tidegate_evaluator_deadlines_fired_total", "deadlines"),
                ),
            ),
            Panel(
                "Commit",
                "From the start of a commit to the local write.",
                "s",
                _quantiles("tidegate_evaluator_commit_seconds"),
            ),
            Panel(
                "Commits and their size",
                "Transactions a second, and input records in one.",
                "short",
                (
                    _rate("tidegate_evaluator_commits_total", "commits/s"),
                    *_quantiles("tidegate_evaluator_commit_records"),
                ),
            ),
            Panel(
                "Queued",
                "Fetched records not yet evaluated.",
                "short",
                (Query("sum by (partition) (tidegate_evaluator_queued_records)", "{{partition}}"),),
            ),
            Panel(
                "Contacts",
                "Contacts held, over all partitions.",
                "short",
                (Query("sum(tidegate_evaluator_contacts)", "contacts"),),
            ),
            Panel(
                "Store memory",
                "What the stores hold, of what they may: it fills to the limit by and by, and stays there.",
                "bytes",
                (
                    Query('sum by (instance) (tidegate_evaluator_store_bytes{part="all"})', "{{instance}}"),
                    Query("max(tidegate_evaluator_store_limit_bytes)", "limit"),
                ),
            ),
            Panel(
                "Where the time goes",
                "Processor and waiting time of the workers by stage. 1 is one whole second a second.",
                "short",
                (_rate("tidegate_evaluator_stage_seconds_total", "{{stage}}", "stage"),),
            ),
            Panel(
                "Recovery",
                "How long the last recovery took.",
                "s",
                (Query("max by (instance) (tidegate_evaluator_recovery_seconds)", "{{instance}}"),),
            ),
            Panel(
                "Forgotten markers",
                "Partitions found undecided, by what became of it, and stores whose last commit was not in the log: "
                "since each evaluator started, as most is found then, before the first scrape.",
                "short",
                (
                    Query("sum by (outcome) (tidegate_evaluator_undecided_total)", "{{outcome}}"),
                    Query("sum(tidegate_evaluator_stores_disbelieved_total)", "begun anew"),
                ),
            ),
        ),
    ),
    (
        "Scheduler, console, webhooks",
        (
            Panel(
                "Ticks",
                "Ticks appended, one a partition and interval, and those that were not acknowledged.",
                "cps",
                (
                    _rate("tidegate_ticks_total", "ticks"),
                    _rate("tidegate_ticks_failed_total", "failed"),
                ),
            ),
            Panel(
                "Leaders",
                "Schedulers that lead: one, or for a moment two. None means that no time rule fires.",
                "short",
                (Query("sum(tidegate_scheduler_leader_info)", "leaders"),),
            ),
            Panel(
                "Definitions",
                "Segment versions appended to every partition, and proposals that lost a race.",
                "short",
                (
                    _rate("tidegate_definitions_appended_total", "appended"),
                    _rate("tidegate_definitions_refused_total", "refused"),
                ),
            ),
            Panel(
                "Live events",
                "Readers of live events on the console, and the changes read for them.",
                "short",
                (
                    Query("sum(tidegate_console_live_readers)", "readers"),
                    _rate("tidegate_console_changes_total", "changes/s"),
                ),
            ),
            Panel(
                "Webhook deliveries",
                "Deliveries that came to an end, and attempts that were not answered with 2xx.",
                "cps",
                (
                    _rate("tidegate_webhook_deliveries_total", "{{outcome}}", "outcome"),
                    _rate("tidegate_webhook_attempts_failed_total", "failed attempts"),
                ),
            ),
            Panel(
                "Webhook failures kept",
                "Given-up deliveries that nobody has replayed yet.",
                "short",
                (Query("max(tidegate_webhook_failures_kept)", "kept"),),
            ),
        ),
    ),
    (
        "Processes",
        (
            Panel(
                "Memory",
                "Resident memory, by process.",
                "bytes",
                (Query("sum by (job, instance) (process_resident_memory_bytes)", "{{job}} {{instance}}"),),
            ),
            Panel(
                "Processor",
                "Processor time, by process. 1 is one core.",
                "short",
                (_rate("process_cpu_seconds_total", "{{job}} {{instance}}", "job, instance"),),
            ),
            Panel(
                "Event loop",
                "How late the last heartbeat of the event loop was.",
                "s",
                (Query("max by (job, instance) (tidegate_event_loop_lag_seconds)", "{{job}} {{instance}}"),),
            ),
        ),
    ),
)


def render() -> str:
    """Return the dashboard as Grafana imports it."""
    panels: list[dict[str, object]] = []
    top = 0
    for title, row in ROWS:
        panels.append(_row(len(panels) + 1, title, top))
        top += 1
        for place, panel in enumerate(row):
            columns = GRID_COLUMNS // PANEL_WIDTH
            left, down = place % columns * PANEL_WIDTH, place // columns * PANEL_HEIGHT
            panels.append(_chart(len(panels) + 1, panel, left, top + down))
        top += -(-len(row) // (GRID_COLUMNS // PANEL_WIDTH)) * PANEL_HEIGHT
    return json.dumps(_dashboard(panels), indent=2) + "\n"


def _row(number: int, title: str, top: int) -> dict[str, object]:
    place = {"x": 0, "y": top, "w": GRID_COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _chart(number: int, panel: Panel, left: int, top: int) -> dict[str, object]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {"x": left, "y": top, "w": PANEL_WIDTH, "h": PANEL_HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": query.expr, "legendFormat": query.legend}
            for place, query in enumerate(panel.queries)
        ],
    }


def _dashboard(panels: list[dict[str, object]]) -> dict[str, object]:
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Data source"}
    return {
        "uid": "tidegate",
        "title": "Tidegate",
        "tags": ["tidegate"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source]},
        "panels": panels,
    }


if __name__ == "__main__":
    DOCUMENT.write_text(render(), encoding="utf-8")
