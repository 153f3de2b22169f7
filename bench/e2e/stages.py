"""Where an evaluator's time went between two looks at its metrics, a transaction at a time."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from bench.e2e.evaluator import EvaluatorUnderTest

STAGES = ("evaluated", "sent", "gathered", "acknowledged", "committed", "applied")
STAGE_METRIC = "tidegate_evaluator_stage_seconds_total"
COMMITS_METRIC = "tidegate_evaluator_commits_total"
RECORDS_METRIC = "tidegate_evaluator_records_total"


@dataclass(frozen=True)
class Stages:
    """Totals since the evaluator started, or differences of two such."""

    seconds: dict[str, float]
    commits: float
    records: float

    @classmethod
    def of(cls, evaluator: EvaluatorUnderTest) -> Stages:
        """Scrape it."""
        families = list(text_string_to_metric_families(evaluator.metrics()))
        samples = [sample for family in families for sample in family.samples]
        seconds = {sample.labels["stage"]: sample.value for sample in samples if sample.name == STAGE_METRIC}

        def total(name: str) -> float:
            return sum(sample.value for sample in samples if sample.name == name)

        return cls({stage: seconds.get(stage, 0.0) for stage in STAGES}, total(COMMITS_METRIC), total(RECORDS_METRIC))

    def since(self, earlier: Stages) -> Stages:
        """What happened between."""
        seconds = {stage: spent - earlier.seconds[stage] for stage, spent in self.seconds.items()}
        return Stages(seconds, self.commits - earlier.commits, self.records - earlier.records)

    def of_a_commit(self) -> str:
        """The mean of each stage over the transactions, in milliseconds."""
        if not self.commits:
            return "no transaction"
        means = ", ".join(f"{stage} {1_000 * self.seconds[stage] / self.commits:.2f}" for stage in STAGES)
        return f"{self.records / self.commits:.1f} records a transaction; ms of each: {means}"

    def of_a_write(self, records: int) -> str:
        """The mean of each stage over so many records, in microseconds; waiting between batches is left out."""
        shown = [stage for stage in STAGES if stage != "gathered"]
        means = ", ".join(f"{stage} {1e6 * self.seconds[stage] / records:.1f}" for stage in shown)
        return f"{records / max(1.0, self.commits):.0f} records a transaction; µs a record: {means}"
