"""`pip install tidegate` is enough for consumers: nothing of the services is imported."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[3]
# Runs with the server extra's packages made unimportable, as in an install without it.
SCRIPT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import tidegate
assert not {{name.split(".")[0] for name in sys.modules}} & {{"services", "deploy"}}
from typer.testing import CliRunner
from tidegate.cli import main
shown = CliRunner().invoke(main.app, ["--help"])
assert shown.exit_code == 0, shown.output
for name in main.SUBCOMMANDS:
    result = CliRunner().invoke(main.app, [name, "--help"])
    assert result.exit_code == 0, (name, result.output, result.exception)
assert "pip install 'tidegate[server]'" in CliRunner().invoke(main.app, ["up"]).stderr
"""


def server_modules() -> set[str]:
    """The top-level modules that only the extra `server` brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-") for line in requirements}

    only_server = names(project["optional-dependencies"]["server"]) - names(project["dependencies"])
    return {
        module
        for module, distributions in packages_distributions().items()
        if {name.lower().replace("_", "-") for name in distributions} & only_server
    }


def test_the_sdk_and_every_command_load_without_the_services_dependencies() -> None:
    absent = server_modules()
    assert {"fastapi", "faust", "rocksdict", "uvicorn"} <= absent
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(absent=absent)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]


def test_importing_the_package_costs_no_client_until_one_is_used() -> None:
    script = (
        "import sys, tidegate\n"
        "assert not {'aiokafka', 'httpx', 'pydantic', 'rich'} & set(sys.modules)\n"
        "assert all(getattr(tidegate, name) is not None for name in tidegate.__all__)\n"
        "assert 'aiokafka' in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    import tidegate

    assert not hasattr(tidegate, "Membership")
    assert set(tidegate.__all__) <= set(dir(tidegate))
