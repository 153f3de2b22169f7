"""Structured logs: one event a line, as JSON for machines or aligned text for people.

Rule: an event is a short snake-free sentence, its facts are key-value pairs. Attribute values, message bodies and API
keys are never logged: ids, counts, names, offsets and durations are. Nothing here decides what is worth a line.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from services.runtime import clock

LogFormat = Literal["auto", "json", "console"]

SELDOM_S = 1.0
"""How far apart at least lines are of what every request may run into: a broker that refuses all is told, not each."""
REPEATED_SELDOM_S = 5.0
"""How far apart at least the lines of one text are that a library says: for each attempt to reach a broker, for one."""
TEXTS_KNOWN_MAX = 1_000
"""Of how many texts it is known when they were said last; the one said longest ago is forgotten first."""
QUIET_LIBRARIES = ("aiokafka", "asyncio", "faust", "httpx", "kafka", "mode", "uvicorn", "uvicorn.access")
"""Libraries whose informational chatter would drown ours; their warnings are kept."""


def configure_logs(
    service: str, log_format: LogFormat = "auto", level: str = "INFO", stream: TextIO | None = None
) -> None:
    """Send structlog and the standard library's logging to one stream, standard output if none is given, in one form.

    `auto` means console on a terminal and JSON elsewhere.
    """
    target = stream or sys.stdout
    as_json = log_format == "json" or (log_format == "auto" and not target.isatty())
    shared = _shared_processors(service)
    final: list[Processor] = [_json_line] if as_json else [_console_line(colours=target.isatty())]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _add_left_out, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    handler.addFilter(Repeated())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


class Seldom:
    """Lets each event through once in a while only, of those that every request may run into at once."""

    def __init__(self, log: FilteringBoundLogger, interval_s: float = SELDOM_S) -> None:
        self._log = log
        self._interval_s = interval_s
        self._next_at: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warning(self, event: str, **facts: object) -> None:
        """Log the event, a constant, with how many like it were left out since the last; or leave it out too."""
        now = clock.monotonic()
        if now < self._next_at.get(event, now):
            self._left_out[event] = self._left_out.get(event, 0) + 1
            return
        self._next_at[event] = now + self._interval_s
        self._log.warning(event, **facts, left_out=self._left_out.pop(event, 0))


class Repeated(logging.Filter):
    """Lets a library say the same once in a while only; ours say what they mean as often as they mean it."""

    def __init__(self, interval_s: float = REPEATED_SELDOM_S) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._said: OrderedDict[tuple[str, str], _Said] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is to be written; if so, it is told how many like it were left out since the last."""
        if isinstance(record.msg, dict):  # ours: structlog hands its events over as they are
            return True
        try:
            text = record.name, record.getMessage()
        except (LookupError, TypeError, ValueError):  # the handler tells of a line that cannot be made
            return True
        with self._lock:
            return self._is_news(record, text, clock.monotonic())

    def _is_news(self, record: logging.LogRecord, text: tuple[str, str], now: float) -> bool:
        said = self._said.get(text)
        if said is not None and now < said.at + self._interval_s:
            said.left_out += 1
            return False
        if said is not None:
            record.left_out = said.left_out
        self._said[text] = _Said(now)
        self._said.move_to_end(text)
        if len(self._said) > TEXTS_KNOWN_MAX:
            self._said.popitem(last=False)
        return True


@dataclass(slots=True)
class _Said:
    at: float
    left_out: int = 0


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the structured logger of one part of a service."""
    return cast("FilteringBoundLogger", structlog.get_logger(name, part=name))


def _shared_processors(service: str) -> list[Processor]:
    """Return the steps that every line goes through, ours and the libraries' alike."""

    def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]


def _add_left_out(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    left_out = getattr(event["_record"], "left_out", 0)
    if left_out:
        event["left_out"] = left_out
    return event


def _json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Render one event as a line of JSON; a value that JSON lacks is written as text."""
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _console_line(*, colours: bool) -> Processor:
    """Return the renderer for people.

    A traceback comes to it as text (`_shared_processors`): its own form of one would print variables' values.
    """
    return structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=40)
