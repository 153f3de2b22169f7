"""How often a key may ask: what is remembered of keys is bounded, and the one that was quiet longest is forgotten."""

from __future__ import annotations

import pytest

from services.runtime import rates as module
from services.runtime.rates import Rates


def test_only_so_many_keys_are_remembered_and_the_quietest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUCKETS_MAX", 3)
    rates = Rates(2, lambda: 0.0)
    for key in ("busy", "quiet", "other", "busy", "new"):
        rates.take(key)
    assert rates.take("busy") == -1, "it has asked twice"
    assert rates.take("quiet") == 1, "it begins anew"
    assert len(rates._buckets) == 3
