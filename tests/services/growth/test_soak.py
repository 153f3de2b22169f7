"""The soak itself, short: it flows, it is judged, and what grows is seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.soak.__main__ import Soak, alarming, run
from bench.soak.resources import Held, besides_stores, slope_percent


@pytest.mark.broker
@pytest.mark.timeout(240)
def test_half_a_minute_of_soak_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    # Caches fill in the first minutes, so growth is left to the long run.
    assert run(minutes=0.5, rate_per_s=100, every_s=5, slope_max=float("inf")) == []
    told = capsys.readouterr().out
    assert " 0 violations" in told
    assert "time rules p99" in told


def test_what_would_wake_somebody_up_is_a_problem() -> None:
    log = "evaluator | 2026-11-23T21:59:06Z [info     ] ready\nevaluator | 2026-11-23T21:59:06Z [error    ] stuck\n"
    assert alarming(log) == ["logged: evaluator | 2026-11-23T21:59:06Z [error    ] stuck"]
    assert alarming("evaluator ended unexpectedly (exit code 1)") == [
        "logged: evaluator ended unexpectedly (exit code 1)"
    ]
    assert alarming("") == []


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
        "evaluator: memory besides stores grows by 4.16 % in 10 minutes, at most 1.0 %",
        "evaluator: descriptors spread over 6, at most 5",
    ]


def soaked(leak_mib_per_min: float, stores_mib: Callable[[float], float], limit_mib: float = 256.0) -> Soak:
    """Half an hour of an evaluator that holds 130 MiB, what its stores say, and a leak."""
    samples = []
    for step in range(360):
        at = step / 12
        stores = stores_mib(at)
        rss = 130 + stores + leak_mib_per_min * at
        samples.append((at, {"evaluator": Held(rss, 80, 9, stores_mib=stores, stores_limit_mib=limit_mib)}))
    return Soak(samples)


def filling(at: float) -> float:
    return min(256.0, 30 + 8 * at)


def emptied_every_two_minutes(at: float) -> float:
    return 50 + 52 * (at % 2)


@pytest.mark.parametrize("stores_mib", [filling, emptied_every_two_minutes])
def test_stores_that_fill_within_their_limit_are_no_growth(stores_mib: Callable[[float], float]) -> None:
    assert soaked(0.0, stores_mib).problems(30, 1.0) == []


@pytest.mark.parametrize("stores_mib", [filling, emptied_every_two_minutes])
def test_a_leak_is_found_however_the_stores_fill(stores_mib: Callable[[float], float]) -> None:
    (problem,) = soaked(0.2, stores_mib).problems(30, 1.0)
    assert problem.startswith("evaluator: memory besides stores grows by 1.")


def test_stores_beyond_their_limit_are_a_problem() -> None:
    found = soaked(0.0, lambda at: 30 + 10 * at).problems(30, 1.0)
    assert "evaluator: its stores hold 329 MiB, at most 256" in found
    assert any("memory besides stores grows" in each for each in found), "what is beyond the limit is nobody's"


def test_memory_that_an_emptied_store_leaves_behind_counts_as_growth_beside_it() -> None:
    held = [(0.0, Held(200, 9, 9, stores_mib=70, stores_limit_mib=256)), (1.0, Held(200, 9, 9, 0, 20, 256))]
    assert besides_stores(held) == [(0.0, 130), (1.0, 180)]
