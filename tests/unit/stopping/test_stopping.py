"""A benchmark that is told to end leaves no process of its own behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from bench.stopping import EXIT_TERMINATED

ROOT = Path(__file__).parents[3]
WAIT_S = 30.0
BENCHMARK = """
import subprocess, sys
from bench.stopping import exit_at_sigterm
exit_at_sigterm()
peer = "import signal, sys; print(sys.stdin.read(), flush=True); signal.alarm(60); signal.pause()"
subprocess.run([sys.executable, "-c", peer], input=b"go")
"""
"""Once the peer has what it is told, the benchmark is past starting it. A peer that nobody ends lives for a minute."""


def test_what_a_benchmark_runs_ends_when_the_benchmark_is_terminated() -> None:
    with subprocess.Popen([sys.executable, "-c", BENCHMARK], cwd=ROOT, stdout=subprocess.PIPE) as benchmark:
        assert benchmark.stdout is not None
        assert benchmark.stdout.readline() == b"go\n"
        (peer,) = psutil.Process(benchmark.pid).children()
        benchmark.send_signal(signal.SIGTERM)
        assert benchmark.wait(WAIT_S) == EXIT_TERMINATED
    assert not peer.is_running()
