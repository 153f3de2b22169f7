"""The soak itself, short: it flows, it is judged, and what grows is seen."""

from __future__ import annotations

import pytest

from bench.soak.__main__ import Soak, run
from bench.soak.resources import Held, slope_percent


@pytest.mark.broker
@pytest.mark.timeout(240)
def test_half_a_minute_of_soak_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    # Caches fill in the first minutes, so growth is left to the long run.
    assert run(minutes=0.5, rate_per_s=100, every_s=5, slope_max=float("inf")) == []
    told = capsys.readouterr().out
    assert " 0 violations" in told
    assert "time rules p99" in told


def test_a_slope_is_told_in_percent_of_the_middle_in_ten_minutes() -> None:
    assert slope_percent([(0, 100), (10, 110), (20, 120)]) == pytest.approx(10 / 110 * 100)
    assert slope_percent([(0, 100), (5, 104), (10, 100)]) == pytest.approx(0)
    assert slope_percent([(3, 100)]) == 0.0


def test_growth_after_the_warm_up_is_a_problem_and_before_it_is_not() -> None:
    def sample(rss: float, descriptors: int) -> dict[str, Held]:
        return {"evaluator": Held(rss, descriptors, 9), "kafka": Held(rss * rss, descriptors * 9, 9)}

    flat = Soak([(0, sample(50, 10)), (16, sample(100, 20)), (23, sample(100, 22)), (30, sample(100.2, 21))])
    assert flat.problems(30, 1.0) == []
    grows = Soak([(0, sample(50, 10)), (16, sample(100, 20)), (23, sample(103, 23)), (30, sample(106, 26))], failed=2)
    assert grows.problems(30, 1.0) == [
        "2 writes were not acknowledged",
        "evaluator: RSS grows by 4.16 % in 10 minutes, at most 1.0 %",
        "evaluator: descriptors spread over 6, at most 5",
    ]
