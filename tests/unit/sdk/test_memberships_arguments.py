"""Arguments with which a consumer would hear nothing, or miss what was before, without ever saying so."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate import Memberships


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"segments": "trial_ending"}, TypeError, r"such as \['trial_ending'\]"),
        ({"start": "beginning"}, ValueError, "one of snapshot, earliest, latest"),
    ],
)
async def test_a_consumer_that_would_wait_in_silence_is_refused(
    wrong: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        Memberships("nowhere:9092", group="g", **wrong)
