"""Policy files: what is accepted, what is refused with file and line, and the digest that names them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tenuto.errors import NotConfigured
from tenuto.policy import PolicyRequest, load_policy
from tenuto.policy.bundle import BUNDLE_BYTES_MAX, read_bundle, statements

GOOD = '@id("own.reads")\npermit(principal == Agent::"own", action == Action::"file.read", resource);\n'
REQUEST = PolicyRequest(principal="own", role="agent", tool="file.read", resource="file:notes", digest="d" * 64)


def write(folder: Path, text: str, name: str = "own.cedar") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def refusal(*paths: Path) -> str:
    with pytest.raises(NotConfigured) as caught:
        load_policy(paths)
    return str(caught.value)


def test_own_files_decide_and_the_reference_does_not(tmp_path):
    policy = load_policy([write(tmp_path, GOOD)])
    assert policy.decide(REQUEST).rules == ("own.reads",)
    review = PolicyRequest(principal="code-review", role="agent", tool="git.diff", resource="repo:shop", digest="d" * 64)
    assert policy.decide(review).effect == "deny"


@pytest.mark.parametrize("text", ["", "// nothing is allowed here\n"])
def test_a_bundle_without_rules_denies_everything(tmp_path, text):
    decision = load_policy([write(tmp_path, text)]).decide(REQUEST)
    assert (decision.effect, decision.rules) == ("deny", ("no_permit",))


def test_a_bundle_that_forbids_everything_is_accepted(tmp_path):
    stop = GOOD + '@id("emergency.stop") forbid(principal, action, resource);'
    decision = load_policy([write(tmp_path, stop)]).decide(REQUEST)
    assert (decision.effect, decision.rules) == ("deny", ("emergency.stop",))


def test_a_folder_stands_for_its_cedar_files(tmp_path):
    write(tmp_path, GOOD)
    write(tmp_path, "this is a note", "README.txt")
    assert load_policy([tmp_path]).decide(REQUEST).effect == "allow"


def test_a_missing_file_and_a_folder_without_policies_are_refused(tmp_path):
    assert "missing.cedar" in refusal(tmp_path / "missing.cedar")
    assert str(tmp_path) in refusal(tmp_path)


@pytest.mark.parametrize(
    ("bad", "line", "says"),
    [
        ('\n// a note; with a semicolon\n@id("b") permit(principal, action', 5, "parse"),
        ('@id("b") forbid(principal, action, resource) when { nonsense };', 3, "parse"),
        ('\n\n@id("b")\nforbid(principal, action, resource) when { context.risk.contains("iam") };', 5, "risk"),
        ('@id("b") forbid(principal, action, resource) when { resource.kind == 3 };', 3, "compatible"),
        ("forbid(principal, action, resource);", 3, "@id"),
        ('@id("error") forbid(principal, action, resource);', 3, "@id"),
        ('@id("A sentence") forbid(principal, action, resource);', 3, "@id"),
        ('@id("b") @obligaton("approval") permit(principal == Agent::"x", action, resource);', 3, "@obligaton"),
        ('@id("b") @obligation("a nod") permit(principal == Agent::"x", action, resource);', 3, "obligation"),
        ('@id("b") @obligation("approval") forbid(principal, action, resource);', 3, "forbids"),
        ('@id("b") permit(principal == ?principal, action, resource);', 3, "slots"),
        ('\n@id("own.reads") forbid(principal, action, resource);', 4, "already"),
        ('@id("b") permit(principal, action, resource);', 3, "nobody knows"),
        ('@id("b") permit(principal, action == Action::"file.write", resource);', 3, "file.write"),
    ],
)
def test_a_bad_rule_is_refused_with_file_and_line(tmp_path, bad, line, says):
    sentence = refusal(write(tmp_path, GOOD + bad))
    assert f"own.cedar, line {line}:" in sentence
    assert says in sentence


def test_a_file_that_is_no_text_is_refused_with_its_line(tmp_path):
    file = tmp_path / "own.cedar"
    file.write_bytes(b"// one\n// \xff\n")
    assert "own.cedar, line 2" in refusal(file)


def test_more_than_the_limit_is_refused(tmp_path):
    fits = GOOD + "//" + "x" * (BUNDLE_BYTES_MAX - len(GOOD) - 2)
    assert load_policy([write(tmp_path, fits)]).decide(REQUEST).effect == "allow"
    assert "bytes" in refusal(write(tmp_path, fits + "x"))


def test_the_digest_is_over_names_and_bytes_in_one_order(tmp_path):
    one = write(tmp_path, GOOD, "a.cedar")
    two = write(tmp_path, GOOD.replace("own.reads", "own.reads.too"), "b.cedar")
    digest = read_bundle([one, two]).digest
    assert read_bundle([two, one]).digest == read_bundle([tmp_path]).digest == digest
    expected = hashlib.sha256()
    for part in (b"a.cedar", one.read_bytes(), b"b.cedar", two.read_bytes()):
        expected.update(len(part).to_bytes(8, "big") + part)
    assert digest == expected.hexdigest()
    two.write_text(two.read_text() + "\n")
    assert read_bundle([one, two]).digest != digest
    two.rename(tmp_path / "c.cedar")
    assert read_bundle([tmp_path]).digest not in (digest, "")


def test_statements_are_split_outside_of_strings_and_comments():
    text = 'a "x;\\";" ; // no; end\n\nb;\nc'
    assert list(statements(text)) == [(1, 'a "x;\\";" ;'), (3, "b;"), (4, "c")]
