"""A benchmark that is told to end leaves no process of its own behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from bench.stopping import EXIT_TERMINATED
from bench.waiting import until

ROOT = Path(__file__).parents[3]
WAIT_S = 30.0
BENCHMARK = """
import subprocess, sys
from bench.stopping import exit_at_sigterm
exit_at_sigterm()
subprocess.run([sys.executable, "-c", "import time; time.sleep(60)"])
"""


def test_what_a_benchmark_runs_ends_when_the_benchmark_is_terminated() -> None:
    with subprocess.Popen([sys.executable, "-c", BENCHMARK], cwd=ROOT) as benchmark:
        (peer,) = until(psutil.Process(benchmark.pid).children, WAIT_S, "the peer to run")
        benchmark.send_signal(signal.SIGTERM)
        assert benchmark.wait(WAIT_S) == EXIT_TERMINATED
    assert not peer.is_running()
