"""Cases of a bundle: what they tell, and that a rule which no case would miss is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from tenuto.errors import NotConfigured
from tenuto.policy.bundle import read_bundle
from tenuto.policy.cases import CASES_MAX, read_cases, try_cases
from tenuto.policy.reference import REFERENCE_CASES, REFERENCE_FILE

RULES = """
@id("reads") permit(principal == Agent::"own", action == Action::"file.read", resource);
@id("writes") @obligation("approval") permit(principal == Agent::"own", action == Action::"file.write", resource);
@id("never") forbid(principal, action == Action::"file.write", resource) when { resource.name == "ledger" };
"""
READS = '[[case]]\nname = "reads"\nprincipal = "own"\ntool = "file.read"\nresource = "file:notes"\neffect = "allow"\n'
WRITES = '[[case]]\nname = "writes"\nprincipal = "own"\ntool = "file.write"\nresource = "file:notes"\neffect = "allow"\nobligation = "approval"\n'
NEVER = '[[case]]\nname = "the ledger"\nprincipal = "own"\ntool = "file.write"\nresource = "file:ledger"\neffect = "deny"\n'


def bundle_of(folder: Path, text: str = RULES):
    file = folder / "own.cedar"
    file.write_text(text)
    return read_bundle([file])


def cases_of(folder: Path, text: str):
    file = folder / "cases.toml"
    file.write_text(text)
    return read_cases([file])


def test_cases_that_hold_and_pin_every_rule_leave_nothing_to_say(tmp_path):
    trial = try_cases(bundle_of(tmp_path), cases_of(tmp_path, READS + WRITES + NEVER))
    assert (trial.cases, trial.failed, trial.unpinned) == (3, (), ())


@pytest.mark.parametrize(
    ("cases", "unpinned"), [(READS, ("writes", "never")), (READS + WRITES, ("never",)), (WRITES + NEVER, ("reads",))]
)
def test_a_rule_that_no_case_would_miss_is_named(tmp_path, cases, unpinned):
    assert try_cases(bundle_of(tmp_path), cases_of(tmp_path, cases)).unpinned == unpinned


def test_a_case_that_fails_says_what_was_answered_and_by_which_rule(tmp_path):
    milder = WRITES.replace('obligation = "approval"\n', "")
    (case, fault), *others = try_cases(bundle_of(tmp_path), cases_of(tmp_path, READS + milder)).failed
    assert (case.name, fault, others) == ("writes", "the answer is allow with approval (writes), not allow", [])


def test_a_case_can_demand_the_rules_that_decide(tmp_path):
    named = READS + 'rules = ["reads"]\n' + NEVER + 'rules = ["no_permit"]\n'
    ((case, fault),) = try_cases(bundle_of(tmp_path), cases_of(tmp_path, named)).failed
    assert (case.name, fault) == ("the ledger", "never decided, not no_permit")


def test_a_bundle_without_a_rule_is_the_others_word_for_word(tmp_path):
    bundle = bundle_of(tmp_path)
    left = bundle.without("writes")
    assert list(left.rules) == ["reads", "never"]
    assert "writes" not in left.text
    assert left.digest != bundle.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [("case = 3", "cannot be used"), (READS.replace("effect", "efect"), "efect"), ("not toml", "is not TOML"),
     (READS.replace('"allow"', '"maybe"'), "maybe"), ("case = []", "There are no cases"), ("\udcff", "is not TOML")],
)  # fmt: skip
def test_a_file_of_cases_that_cannot_be_used_is_named(tmp_path, text, said):
    (tmp_path / "cases.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(NotConfigured, match=said):
        read_cases([tmp_path / "cases.toml"])


def test_a_file_that_is_not_there_and_too_many_cases_are_refused(tmp_path):
    with pytest.raises(NotConfigured, match="cannot be read"):
        read_cases([tmp_path / "none.toml"])
    many = "[" + ",".join(['{name="n",principal="p",tool="t",resource="r:x",effect="deny"}'] * CASES_MAX)
    assert len(cases_of(tmp_path, f"case = {many}]")) == CASES_MAX
    with pytest.raises(NotConfigured, match="at most 10,000"):
        cases_of(tmp_path, f'case = {many},{{name="n",principal="p",tool="t",resource="r:x",effect="deny"}}]')


def test_the_cases_of_the_reference_bundle_hold_and_pin_every_rule_of_it():
    trial = try_cases(read_bundle([REFERENCE_FILE]), read_cases([REFERENCE_CASES]))
    assert (trial.failed, trial.unpinned) == ((), ())
