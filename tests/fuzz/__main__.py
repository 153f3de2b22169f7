"""Fuzz both parsers, one after the other: `python -m tests.fuzz [text|json] [--seconds 60] [--runs N]`.

Each input must be read or refused within the time limit; what is read must survive both round trips. A failing input is
written to the folder that is named at the end, with the command that repeats it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.corpus import write_corpus, write_dictionary

TARGETS = ("text", "json")
INPUT_BYTES_MAX = 4_096
INPUT_SECONDS_MAX = 5
"""For one input; a parser that is not linear runs into it."""


def main() -> int:
    """Run the asked targets. Gives the exit code: 0 if nothing was found."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the parsers of the language.")
    options.add_argument("target", nargs="?", choices=TARGETS)
    options.add_argument("--seconds", type=int, default=60, help="for each target")
    options.add_argument("--runs", type=int, default=-1, help="inputs for each target; no limit by default")
    asked = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tidegate-fuzz-"))
    found = [target for target in ([asked.target] if asked.target else TARGETS) if _run(target, asked, folder)]
    for target in found:
        _say(f"{target}: failed; repeat it with: python -m tests.fuzz.target {target} {folder / target}/found-*")
    return 1 if found else 0


def _run(target: str, asked: argparse.Namespace, folder: Path) -> bool:
    """Fuzz one target in a process of its own. True if it failed."""
    corpus = folder / target / "corpus"
    write_corpus(target, corpus)
    dictionary = write_dictionary(folder / target / "words.dict")
    command = [
        sys.executable, "-m", "tests.fuzz.target", target, str(corpus), f"-dict={dictionary}",
        f"-max_total_time={asked.seconds}", f"-runs={asked.runs}", f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_SECONDS_MAX}", f"-artifact_prefix={folder / target}/found-",
        "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    _say(f"{target}: fuzzing for {asked.seconds} s")
    return subprocess.run(command, check=False).returncode != 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
