"""Looks up what names stand for, each in a thread that nobody waits for.

Rule: of one owner one look-up of a name is under way at a time, and who asks meanwhile shares it. So a name whose
servers never answer holds one thread, and holds up neither other names nor the end of the process: the threads of the
loop's own look-ups are few and everybody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Final

LOOK_UPS_MAX: Final = 100
"""Under way at once, of one owner."""
ANSWER_WITHIN_S: Final = 5.0

Name = tuple[str, int]
Outcome = list[str] | OSError | UnicodeError


class Names:
    """The look-ups of one owner."""

    def __init__(self) -> None:
        self._under_way: dict[Name, asyncio.Future[list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """What a name stands for. Errors: OSError, also when no answer comes in time; UnicodeError."""
        name = host, port
        found = self._under_way.get(name)
        if found is None:
            if len(self._under_way) >= LOOK_UPS_MAX:
                raise OSError("too many names are being looked up")
            found = self._begin(name)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await asyncio.shield(found)

    def _begin(self, name: Name) -> asyncio.Future[list[str]]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()

        def settle(outcome: Outcome) -> None:
            del self._under_way[name]
            if isinstance(outcome, list):
                found.set_result(outcome)
            else:
                found.set_exception(outcome)
                found.exception()  # nobody may wait for it any more, and then it is not forgotten but late

        def look_up() -> None:
            outcome = _look_up(*name)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, outcome)

        self._under_way[name] = found
        threading.Thread(target=look_up, name="look-up of a name", daemon=True).start()
        return found


def _look_up(host: str, port: int) -> Outcome:
    try:
        return [str(place[0]) for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        return error
