"""When a backfill is expected to end."""

from __future__ import annotations

from segmentation.model import InstantMs
from services.evaluator.backfill_progress import BackfillProgress


def test_the_rest_is_expected_to_take_what_it_took_so_far() -> None:
    progress = BackfillProgress()
    assert progress.ends_at(0.0, InstantMs(1_000)) is None
    assert progress.ends_at(0.25, InstantMs(2_000)) == 5_000
    assert progress.ends_at(0.5, InstantMs(4_000)) == 7_000
    assert progress.ends_at(1.0, InstantMs(7_500)) == 7_500


def test_what_was_done_before_it_was_looked_at_says_nothing_of_its_speed() -> None:
    progress = BackfillProgress()
    assert progress.ends_at(0.5, InstantMs(1_000)) is None
    assert progress.ends_at(0.5, InstantMs(2_000)) is None
    assert progress.ends_at(0.75, InstantMs(3_000)) == 5_000


def test_a_backfill_that_began_again_is_measured_anew() -> None:
    progress = BackfillProgress()
    progress.ends_at(0.0, InstantMs(0))
    progress.ends_at(0.9, InstantMs(900))
    assert progress.ends_at(0.0, InstantMs(1_000)) is None
    assert progress.ends_at(0.1, InstantMs(2_000)) == 11_000
    progress.ended()
    assert progress.ends_at(0.2, InstantMs(9_000)) is None
