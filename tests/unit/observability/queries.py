"""What PromQL queries ask for, held against what the services export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

import promql_parser
from prometheus_client import Counter, Histogram
from prometheus_client.parser import text_string_to_metric_families

from services.runtime.metrics import exposition
from tests.unit.runtime.metrics_table import MODULES, registered

TARGET_LABELS = frozenset({"job", "instance"})
"""Prometheus itself puts these on every series it scrapes."""

Exported = Mapping[str, frozenset[str]]
"""Series name to its labels."""


def exported() -> Exported:
    """Return every series that the services export, those of the process collectors included."""
    series: dict[str, frozenset[str]] = {}
    for name in MODULES.values():
        for metric in registered(import_module(name)):
            family, labels = next(iter(metric.describe())).name, frozenset(metric._labelnames)
            if isinstance(metric, Counter):
                series[f"{family}_total"] = labels
            elif isinstance(metric, Histogram):
                series |= {f"{family}_bucket": labels | {"le"}, f"{family}_sum": labels, f"{family}_count": labels}
            else:
                series[family] = labels
    for collected in text_string_to_metric_families(exposition()[0].decode()):
        for sample in collected.samples:
            series.setdefault(sample.name, frozenset(sample.labels))
    return series


def complaints(query: str, series: Exported) -> list[str]:
    """Return what a query asks for that nobody exports, in words."""
    tree = promql_parser.parse(query.replace("$__rate_interval", "5m"))
    known = frozenset[str]().union(*series.values(), TARGET_LABELS)
    found = []
    for selector in _selectors(tree):
        labels = series.get(selector.name or "")
        if labels is None:
            found.append(f"no service exports {selector.name}")
            continue
        asked = {matcher.name for matcher in selector.matchers.matchers}
        found += [f"{selector.name} has no label {label}" for label in sorted(asked - labels - TARGET_LABELS)]
        known = known & (labels | TARGET_LABELS) if len(_names(tree)) == 1 else known
    found += [f"nothing in {query} has the label {label}" for label in sorted(_grouped(tree) - known)]
    return found


def _names(tree: promql_parser.Expr) -> set[str]:
    return {selector.name or "" for selector in _selectors(tree)}


def _nodes(tree: promql_parser.Expr) -> Iterator[promql_parser.Expr]:
    """Walk the tree: each node of the library keeps its operands under one of these names."""
    yield tree
    for name in ("expr", "lhs", "rhs", "args", "vs", "vector_selector"):
        below = getattr(tree, name, None)
        for node in below if isinstance(below, list) else [below]:
            if isinstance(node, promql_parser.Expr):
                yield from _nodes(node)


def _selectors(tree: promql_parser.Expr) -> list[promql_parser.VectorSelector]:
    return [node for node in _nodes(tree) if isinstance(node, promql_parser.VectorSelector)]


def _grouped(tree: promql_parser.Expr) -> set[str]:
    groups = [node.modifier for node in _nodes(tree) if isinstance(node, promql_parser.AggregateExpr)]
    return {label for group in groups if group is not None for label in group.labels}
