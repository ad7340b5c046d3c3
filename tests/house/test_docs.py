"""What the documents say is so: reference pages come from the code, commands exist, links and paths lead somewhere."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tenuto.cli import build
from tenuto.events import KINDS
from tenuto.settings import PREFIX, Settings
from typer.testing import CliRunner

from tests.house import docs
from tests.house.tree import ROOT, relative

MAKEFILE = (ROOT / "Makefile").read_text()
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "deploy" / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
HOW_TO = sorted((ROOT / "docs" / "how-to").glob("*.md"))
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
OUR_PATH = re.compile(r"`((?:core|agents|projections|dashboard|migrations|tests|docs|benchmarks|deploy)/[\w./-]+)`")
HEAVY = (
    "sqlalchemy",
    "sklearn",
    "streamlit",
    "psycopg",
    "kafka",
    "eventsourcing",
    "alembic",
    "pandas",
    "numpy",
    "cedarpy",
)
APACHE_2_0 = "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4"


@pytest.fixture(scope="module")
def help_text() -> str:
    result = CliRunner().invoke(build(), ["--help"], env={"COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"})
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("page", docs.PAGES)
def test_a_reference_page_is_as_the_code_says(page: str) -> None:
    assert page not in docs.stale(), f"Run `python -m tests.house.docs --write`: {page} is not as the code says."


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_is_described(kind: str) -> None:
    assert f"\n### {kind}\n" in (ROOT / "docs/events.md").read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described(name: str) -> None:
    assert f"\n| `{PREFIX}{name.upper()}` |" in (ROOT / "docs/settings.md").read_text()


@pytest.mark.parametrize("name", docs.all_commands())
def test_every_command_is_described_and_describes_itself(name: str, help_text: str) -> None:
    assert f"\n## tenuto {name}\n" in (ROOT / "docs/commands.md").read_text()
    assert docs.all_commands()[name].help, f"The command {name} needs a docstring."
    assert re.search(rf"\b{name.split(maxsplit=1)[0]}\b", help_text), f"`tenuto --help` does not list {name}."


def test_every_make_target_of_the_readme_exists_and_says_what_it_does() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)(?=`|\s+#|\s*$|\s+ARGS)", README, re.MULTILINE))
    assert named, "the README names no make target"
    assert named <= TARGETS, f"The Makefile has no target {named - TARGETS}."
    undescribed = [target for target in named if not re.search(rf"^{target}:.*## \S", MAKEFILE, re.MULTILINE)]
    assert not undescribed, f"`make help` does not list {undescribed}; give them a `## sentence`."


def test_make_help_lists_every_target() -> None:
    output = subprocess.run(["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    assert {target for target in TARGETS if f"make {target}" in output} == TARGETS


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_tenuto_command_of_a_page_exists_with_its_options(page: Path) -> None:
    commands = docs.all_commands()
    groups = {name.split()[0] for name in commands if " " in name}
    for line in re.findall(r"(?:^|`|bin/)tenuto ([a-z][^`\n|#]*)", page.read_text(), re.MULTILINE):
        words = line.split()
        spelled = [" ".join(words[:count]) for count in (3, 2, 1)]
        name = next((one for one in spelled if one in commands), spelled[1] if words[0] in groups else words[0])
        assert name in commands or name in groups, f"{relative(page)} names `tenuto {name}`, which does not exist."
        options = {option for one in commands[name].params for option in one.opts} if name in commands else set()
        for option in re.findall(r"(?<=\s)--[a-z-]+", " " + line):
            assert option in options | {"--help"}, (
                f"{relative(page)} names `tenuto {name} {option}`, which does not exist."
            )


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{relative(page)} links to {target}, which does not exist."


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_path_of_ours_that_a_page_names_exists(page: Path) -> None:
    for path in OUR_PATH.findall(page.read_text()):
        assert (ROOT / path).exists(), f"{relative(page)} names {path}, which does not exist."


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_page_has_one_title_and_it_comes_first(page: Path) -> None:
    titles = re.findall(r"^# .+$", FENCE.sub("", page.read_text()), re.MULTILINE)
    assert len(titles) == 1
    assert page.read_text().startswith(titles[0])


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=relative)
def test_a_decision_says_what_why_what_was_rejected_and_what_taught_it(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    assert headings == ["What", "Why", "Rejected", "The mistake that taught it"]


@pytest.mark.parametrize("page", HOW_TO, ids=relative)
def test_a_how_to_has_four_steps(page: Path) -> None:
    assert re.findall(r"^(\d)\. ", page.read_text(), re.MULTILINE) == ["1", "2", "3", "4"]


def test_the_command_line_starts_without_heavy_libraries() -> None:
    code = (
        f"import sys; from tenuto.cli import build; build(); print([name for name in {HEAVY} if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]", "Import these inside the command, so that `tenuto --help` stays fast."


def test_the_licence_is_the_apache_licence_word_for_word() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0
