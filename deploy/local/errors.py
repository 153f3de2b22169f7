"""What can keep the local stack from running, as one clear line each."""

from __future__ import annotations


class LocalStackError(Exception):
    """The stack cannot run. The message is one line: what is wrong, where, and what to do."""
