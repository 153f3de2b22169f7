"""What the reader of a page has at hand before it: files, contacts, names that an example takes for granted."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

CONTACTS_CSV = "email,First Name,zip\nada@example.com,Ada,01234\ngrace@example.com,Grace,00501\n"
HISTORY_CSV = """contact_id,at,last_order_at,orders
u_1,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,1
u_1,2026-01-05T00:00:00Z,2026-01-05T00:00:00Z,2
u_2,2026-04-01T00:00:00Z,2026-04-01T00:00:00Z,1
"""

FILES: dict[str, dict[str, str]] = {
    "docs/importing.md": {"contacts.csv": CONTACTS_CSV},
    "docs/backtest.md": {"HISTORY.csv": HISTORY_CSV},
}

TRIAL_ENDING = """\
curl -sf localhost:8080/api/v2/segments -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
  -d '{"id": "trial-ending", "where": "plan is Trial"}'
curl -sf localhost:8080/api/v2/contacts -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
  -H 'Prefer: wait=10' -d '{"id": "u_17", "attributes": {"plan": "trial"}}'
"""
BEFORE: dict[str, tuple[str, ...]] = {"docs/consuming.md": (TRIAL_ENDING,)}
"""Commands that the page takes for done."""


async def _start_workflow(contact_id: str) -> None:
    print(f"started {contact_id}")  # noqa: T201 - what the page's block is run until


async def _stop_workflow(contact_id: str) -> None:
    raise AssertionError(f"{contact_id} never left")


NAMES: dict[str, dict[str, Any]] = {
    "docs/consuming.md": {"start_workflow": _start_workflow, "stop_workflow": _stop_workflow},
    "docs/webhooks.md": {"hmac": hmac, "hashlib": hashlib},
}
"""What a page's Python takes for imported or written by the reader."""


def _signature_is_checked(names: dict[str, Any]) -> None:
    body = b'{"id": "x"}'
    signed = hmac.new(b"secret", b"1790000000." + body, hashlib.sha256).hexdigest()
    header = f"t=1790000000,v1={signed}"
    assert names["is_genuine"]("secret", header, body, 1_790_000_100)
    assert not names["is_genuine"]("other", header, body, 1_790_000_100)
    assert not names["is_genuine"]("secret", header, body + b" ", 1_790_000_100)
    assert not names["is_genuine"]("secret", header, body, 1_790_000_301)


AFTER: dict[str, tuple[Callable[[dict[str, Any]], None], ...]] = {"docs/webhooks.md": (_signature_is_checked,)}
"""What must hold of a page's names once all its blocks were run."""
