"""The house rules over the whole tree. A failure names file, line and remedy; the rules are in tests/house/rules.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import pytest

from tests.house import exceptions, layers, rules
from tests.house.rules import Finding, SourceFile
from tests.house.tree import PRODUCT, python_files, text_files

Rule = Callable[[SourceFile], Iterator[Finding]]


def findings(rule: Rule, folders: tuple[str, ...] = PRODUCT) -> list[Finding]:
    return [finding for file in python_files(folders) for finding in rule(file)]


def demand_none(found: Iterable[Finding]) -> None:
    assert not (listed := [str(one) for one in found]), "\n" + "\n".join(listed)


def demand_only(found: list[Finding], allowed: Mapping[str, object]) -> None:
    """No finding outside the list, and nothing on the list that is no finding."""
    demand_none(one for one in found if one.key not in allowed)
    idle = sorted(allowed.keys() - {one.key for one in found})
    assert not idle, f"No longer an exception, take it from tests/house/exceptions.py: {', '.join(idle)}"


def test_the_tree_was_found() -> None:
    assert len(python_files(("core",))) > 40
    assert any(path == "pyproject.toml" for path, _ in text_files())


@pytest.mark.parametrize("rule", [layers.package_direction, layers.layer_direction], ids=lambda rule: rule.__name__)
def test_imports_point_downwards(rule: Rule) -> None:
    demand_none(findings(rule))


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert layers.cycles(python_files(PRODUCT)) == []


def test_files_and_functions_are_short_and_exceptions_only_shrink() -> None:
    everywhere = (*PRODUCT, "tests")
    found = [one for rule in (rules.file_length, rules.function_length) for one in findings(rule, everywhere)]
    demand_only(found, exceptions.SIZES)
    for one in found:
        assert one.size <= exceptions.SIZES[one.key], f"{one} It was {exceptions.SIZES[one.key]}; it may only shrink."
        assert one.size >= exceptions.SIZES[one.key], (
            f"{one.key} has shrunk to {one.size}: lower its number in exceptions.py."
        )


def test_functions_take_few_parameters_by_position() -> None:
    demand_none(findings(rules.positional_parameters))


def test_names_say_what_a_thing_is() -> None:
    demand_only(findings(rules.vague_names), exceptions.VAGUE_NAMES)


def test_nothing_is_hidden_by_a_name_trick() -> None:
    demand_none(findings(rules.mangled_names))


def test_time_identity_chance_and_environment_are_handed_in() -> None:
    demand_none(one for one in findings(rules.banned_calls) if not may_ask(one))


def may_ask(finding: Finding) -> bool:
    allowed = exceptions.ASKS_THE_MACHINE
    folders = tuple(name for name in allowed if name.endswith("/"))
    return finding.key in allowed or finding.path in allowed or finding.path.startswith(folders)


def test_nobody_catches_everything_and_goes_on() -> None:
    demand_none(one for one in findings(rules.broad_excepts) if one.key not in exceptions.BROAD_EXCEPTS)


def test_every_module_says_what_it_is_for() -> None:
    demand_none(findings(rules.module_docstring))


def test_only_ingest_writes_to_the_ledger() -> None:
    demand_only(findings(rules.ledger_appends), exceptions.LEDGER_APPENDS)


def test_what_is_named_verify_returns_no_verdict() -> None:
    demand_none(findings(rules.verify_returns))


@pytest.mark.parametrize("rule", [rules.leftovers, rules.machine_paths], ids=lambda rule: rule.__name__)
def test_nothing_is_left_over_and_nothing_knows_this_machine(rule: Callable[[str, str], Iterator[Finding]]) -> None:
    texts = [(path, text) for path, text in text_files() if path not in exceptions.TEXTS]
    demand_none(finding for path, text in texts for finding in rule(path, text))
