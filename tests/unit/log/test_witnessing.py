"""The reader's policy: which cosignatures a checkpoint needs, and a refusal that names the witness that is missing."""

from __future__ import annotations

import pytest
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.note import Cosigner, NoteSigner
from tenuto.log.witnessing import (
    POLICY_BYTES_MAX,
    POLICY_NAMES_MAX,
    Policy,
    PolicyRefused,
    cosigner_vkey,
    parse_policy,
    verify_policy,
)

ORIGIN = "log.example/a"
LOG = NoteSigner(ORIGIN, bytes(32))
NAMES = ("X1", "X2", "X3", "Y1", "Y2")
WITNESSES = {name: Cosigner(f"{name.lower()}.example", name.encode().ljust(32)) for name in NAMES}
CHECKPOINT = Checkpoint(ORIGIN, 5, bytes(range(32)))
LINES = [f"witness {name} {key.vkey} https://{key.name}/\n" for name, key in WITNESSES.items()]
KEYS = f"log {LOG.vkey}\n" + "".join(LINES)
TWO_LEVELS = KEYS + "group X 2 X1 X2 X3\ngroup Y any Y1 Y2\ngroup both all X Y\nquorum both\n"


def note(*names: str) -> bytes:
    lines = b"".join(WITNESSES[name].cosign(CHECKPOINT.text(), 1_700_000_000) for name in names)
    return sign_checkpoint(CHECKPOINT, LOG) + lines


def test_a_policy_is_read_as_written() -> None:
    policy = parse_policy(TWO_LEVELS)
    assert [log.verifier.vkey for log in policy.logs] == [LOG.vkey]
    assert policy.witnesses["X1"].url == "https://x1.example/"
    assert (policy.groups["X"].threshold, policy.groups["Y"].threshold, policy.groups["both"].threshold) == (2, 1, 2)
    assert policy.quorum == "both"


def test_comments_blank_lines_tabs_and_names_in_any_script_are_allowed() -> None:
    text = f"# the log\n\n\t log\t{LOG.vkey} \n witness Zeugin-ü {WITNESSES['X1'].vkey}\n  # end\nquorum\tZeugin-ü"
    assert parse_policy(text).quorum == "Zeugin-ü"


@pytest.mark.parametrize(("names", "missing"), [
    (("X1", "X2", "Y1"), None), (("X1", "X3", "Y2"), None), (("X1", "X2", "X3", "Y1", "Y2"), None),
    (("X1", "Y1"), "X2, X3"), (("X1", "X2"), "Y1, Y2"), ((), "X1, X2, X3, Y1, Y2"), (("Y1", "Y2"), "X1, X2, X3"),
])  # fmt: skip
def test_a_quorum_of_groups_counts_and_names_who_is_missing(names: tuple[str, ...], missing: str | None) -> None:
    policy = parse_policy(TWO_LEVELS)
    if missing is None:
        assert verify_policy(note(*names), policy, ORIGIN) == CHECKPOINT
    else:
        with pytest.raises(PolicyRefused, match=f"lacks a cosignature of {missing};"):
            verify_policy(note(*names), policy, ORIGIN)


def test_a_single_witness_can_be_the_quorum() -> None:
    policy = parse_policy(KEYS + "quorum Y2\n")
    verify_policy(note("Y2"), policy, ORIGIN)
    with pytest.raises(PolicyRefused, match="cosignature of Y2; X1 cosigned"):
        verify_policy(note("X1"), policy, ORIGIN)


def test_without_witnesses_only_if_the_policy_says_none() -> None:
    verify_policy(note(), parse_policy(f"log {LOG.vkey}\nquorum none\n"), ORIGIN)
    with pytest.raises(PolicyRefused, match="no quorum line"):
        parse_policy(f"log {LOG.vkey}\n")


def test_a_policy_made_without_a_quorum_refuses() -> None:
    with pytest.raises(PolicyRefused):
        verify_policy(note("X1"), Policy(logs=parse_policy(TWO_LEVELS).logs), ORIGIN)


def test_one_witness_that_cosigns_twice_counts_once() -> None:
    with pytest.raises(PolicyRefused, match="X2, X3"):
        verify_policy(note("X1", "X1", "Y1"), parse_policy(TWO_LEVELS), ORIGIN)


def test_cosignatures_do_not_replace_the_signature_of_the_log() -> None:
    text = CHECKPOINT.text()
    unsigned = text + b"\n" + b"".join(key.cosign(text, 1) for key in WITNESSES.values())
    with pytest.raises(PolicyRefused, match="not signed by the log"):
        verify_policy(unsigned, parse_policy(TWO_LEVELS), ORIGIN)


def test_a_cosignature_over_another_checkpoint_refuses_the_note() -> None:
    other = WITNESSES["X1"].cosign(Checkpoint(ORIGIN, 6, bytes(32)).text(), 1)
    with pytest.raises(PolicyRefused, match=r"x1\.example that does not hold"):
        verify_policy(note("X2", "X3", "Y1") + other, parse_policy(TWO_LEVELS), ORIGIN)


def test_a_log_that_the_policy_does_not_name_is_refused() -> None:
    with pytest.raises(PolicyRefused, match="knows no log"):
        verify_policy(note("X1"), parse_policy(TWO_LEVELS), "log.example/b")


def test_a_checkpoint_of_another_origin_is_refused_though_the_key_is_right() -> None:
    foreign = sign_checkpoint(Checkpoint("log.example/b", 5, bytes(32)), LOG)
    with pytest.raises(PolicyRefused, match="not of"):
        verify_policy(foreign, parse_policy(f"log {LOG.vkey}\nquorum none\n"), ORIGIN)


def test_the_witness_key_of_a_seed_is_that_of_its_cosigner() -> None:
    assert cosigner_vkey("x1.example", b"X1".ljust(32)) == WITNESSES["X1"].vkey


X1, X2 = WITNESSES["X1"].vkey, WITNESSES["X2"].vkey


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(KEYS + "quorum X1\nquorum X1\n", id="two quorum lines"),
        pytest.param(KEYS + "quorum Z\n", id="an unknown quorum"),
        pytest.param("quorum X1\n" + KEYS, id="a quorum before its definition"),
        pytest.param(KEYS + "group g any Z\nquorum g\n", id="an unknown member"),
        pytest.param(KEYS + "group g any g\nquorum g\n", id="a group in itself"),
        pytest.param(KEYS + "group g any none\nquorum g\n", id="none as a member"),
        pytest.param(KEYS + "group g any\nquorum g\n", id="no members"),
        pytest.param(KEYS + "group g 0 X1\nquorum g\n", id="a threshold of zero"),
        pytest.param(KEYS + "group g 2 X1\nquorum g\n", id="a threshold above the members"),
        pytest.param(KEYS + "group g 01 X1\nquorum g\n", id="a threshold with a leading zero"),
        pytest.param(KEYS + "group g most X1\nquorum g\n", id="a threshold that is no number"),
        pytest.param(KEYS + "group g any X1 X1\nquorum g\n", id="a member twice in one group"),
        pytest.param(KEYS + "group g any X1\ngroup h any X1\nquorum h\n", id="a member in two groups"),
        pytest.param(KEYS + "group X1 any X2\nquorum X1\n", id="a name that is taken"),
        pytest.param(f"witness none {X1}\nquorum none\n", id="a witness called none"),
        pytest.param(f"witness a {X1}\nwitness b {X1}\nquorum a\n", id="one key under two names"),
        pytest.param(f"log {LOG.vkey}\nlog {LOG.vkey}\nquorum none\n", id="one log twice"),
        pytest.param(f"log {X1}\nquorum none\n", id="a witness key for a log"),
        pytest.param(f"witness a {LOG.vkey}\nquorum a\n", id="a log key for a witness"),
        pytest.param(f"witness a {X1} url more\nquorum a\n", id="a fifth word"),
        pytest.param(f"witness a {X1[:-2]}\nquorum a\n", id="a broken key"),
        pytest.param("quorum\n", id="a quorum without a name"),
        pytest.param("quorum none\nlogs x\n", id="an unknown keyword"),
        pytest.param("quorum\u00a0none\n", id="a no-break space"),
        pytest.param("quorum none\r\n", id="a carriage return"),
        pytest.param("quorum none # comment\n", id="a comment behind a line"),
    ],
)
def test_a_malformed_policy_is_refused(text: str) -> None:
    with pytest.raises(PolicyRefused):
        parse_policy(text)


def test_the_refusal_of_a_policy_names_the_line() -> None:
    with pytest.raises(PolicyRefused, match="Line 7 of the policy"):
        parse_policy(KEYS + "nonsense\nquorum none\n")


def test_a_policy_is_bounded() -> None:
    line = "quorum none\n#"
    parse_policy(line + "x" * (POLICY_BYTES_MAX - len(line)))
    with pytest.raises(PolicyRefused, match="65,536"):
        parse_policy(line + "x" * (POLICY_BYTES_MAX - len(line) + 1))
    names = [f"witness w{n} {cosigner_vkey(f'w{n}', n.to_bytes(32, 'big'))}\n" for n in range(POLICY_NAMES_MAX + 1)]
    parse_policy("".join(names[:-1]) + "quorum none\n")
    with pytest.raises(PolicyRefused, match="more than 128"):
        parse_policy("".join(names) + "quorum none\n")
