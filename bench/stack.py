"""What the local stack costs: time from nothing to ready, CPU while idle, resident memory. `python -m bench.stack`.

Rule: it measures the stack as a person starts it, by its command and on an empty directory, from outside with psutil.
Everything that a stack starts is counted, the supervisor and its watchdogs too.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.stopping import exit_at_sigterm
from deploy.local.plan import StackPorts
from deploy.local.ports import free_base

UP = (sys.executable, "-m", "tidegate.cli.main", "up")
SETTLE_S = 10
STOP_TIMEOUT_S = 60
SET_UP_BUDGET_S = 20.0
IDLE_CPU_BUDGET_PERCENT = 10.0
RESIDENT_BUDGET_MIB = 1229.0
STOP_BUDGET_S = 20.0
MIB = 1024 * 1024


def main() -> int:
    exit_at_sigterm()
    arguments = _arguments()
    base = free_base(StackPorts.SPAN)
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
        log = Path(directory) / "up.log"
        began = time.monotonic()
        stack = subprocess.Popen(
            [*UP, "--json", "--data-dir", directory, "--port-base", str(base)],
            stdout=subprocess.PIPE,
            stderr=log.open("wb"),
            text=True,
        )
        try:
            ready = stack.stdout.readline() if stack.stdout else ""
            set_up_s = time.monotonic() - began
            if not ready:
                print(log.read_text(encoding="utf-8"), file=sys.stderr)
                return 1
            # What a start leaves to do is to be over before idleness is measured; nothing announces its end.
            time.sleep(SETTLE_S)
            within = _measure({"supervisor": stack.pid, **json.loads(ready)["pids"]}, arguments.seconds)
        finally:
            began = time.monotonic()
            stack.send_signal(signal.SIGTERM)
            code = stack.wait(STOP_TIMEOUT_S)
            stop_s = time.monotonic() - began
        within &= _show("set-up to ready", set_up_s, "s", SET_UP_BUDGET_S)
        within &= _show("stop", stop_s, "s", STOP_BUDGET_S)
        print(f"{'exit code':<28}{code:>9}")
    return 0 if within and code == 0 else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long idleness is measured")
    return parser.parse_args()


def _measure(pids: dict[str, int], seconds: float) -> bool:
    """Print each process's idle CPU and resident memory, and the totals against their budgets."""
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    watchdogs = [child for child in processes["supervisor"].children() if child.pid not in pids.values()]
    for number, watchdog in enumerate(watchdogs):
        processes[f"watchdog {number}"] = watchdog
    before = {name: _cpu_s(process) for name, process in processes.items()}
    began = time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - began
    cpu = {name: (_cpu_s(process) - before[name]) / elapsed * 100 for name, process in processes.items()}
    resident = {name: process.memory_info().rss / MIB for name, process in processes.items()}
    print(f"{'process':<20}{'idle CPU %':>12}{'resident MiB':>14}")
    for name in processes:
        print(f"{name:<20}{cpu[name]:>12.2f}{resident[name]:>14.1f}")
    within = _show("idle CPU of one core", sum(cpu.values()), "%", IDLE_CPU_BUDGET_PERCENT)
    return _show("resident", sum(resident.values()), "MiB", RESIDENT_BUDGET_MIB) and within


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _show(what: str, found: float, unit: str, budget: float) -> bool:
    within = found <= budget
    print(f"{what:<28}{found:>9.2f} {unit:<4} (budget {budget:g}{'' if within else ': EXCEEDED'})")
    return within


if __name__ == "__main__":
    sys.exit(main())
