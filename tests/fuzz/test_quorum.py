"""What a note's signature lines add up to, against a model of three lines: each witness once, and no bad line at all."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.errors import Refused
from tenuto.log.note import NOTE_BYTES_MAX, SIGNATURES_MAX, Cosigner, NoteSignature, NoteSigner, NoteVerifier, open_note
from tenuto.log.witnessing import POLICY_NAMES_MAX, Policy, PolicyRefused, cosigner_vkey, parse_policy, verify_policy

from tests.fuzz import world
from tests.golden.world import ORIGIN, digest

CHECKPOINT = world.checkpoint()
TEXT = CHECKPOINT.text()
LOG_LINE = world.LOG.sign(TEXT)
POLICY = parse_policy(world.QUORUM)
EXAMPLES = settings(max_examples=120, deadline=None, database=None, derandomize=True)


def line_by(verifier: NoteVerifier, signature: bytes) -> bytes:
    """A line in the name and with the key id of this key, whatever the signature."""
    return NoteSignature(verifier.name, verifier.key_id, signature).line


def spoof(name: str) -> Cosigner:
    """Another key under the same name: its key id differs, so nobody asked for it."""
    return Cosigner(world.WITNESSES[name].name, digest("spoof", name))


def lines_of(kind: str, name: str) -> bytes:
    """One signature line that `kind` says is good, ignored, or bad."""
    witness = world.WITNESSES[name]
    match kind:
        case "good":
            return witness.cosign(TEXT, world.SECONDS)
        case "good later":
            return witness.cosign(TEXT, world.SECONDS + 60)
        case "bad key":
            stranger = spoof(name).cosign(TEXT, world.SECONDS).split(b" ")[2]
            return line_by(witness.verifier, NoteSignature("x", b"", stranger).signature[:72].ljust(72, b"x"))
        case "bad text":
            return witness.cosign(world.checkpoint(5).text(), world.SECONDS)
        case "bad short":
            return line_by(witness.verifier, b"x")
        case "ignored key":
            return spoof(name).cosign(TEXT, world.SECONDS)
        case "ignored type":
            return NoteSigner(witness.name, digest("witness", name)).sign(TEXT)
        case _:
            return world.STRANGER.sign(TEXT)


KINDS = ("good", "good later", "ignored key", "ignored type", "stranger", "bad key", "bad text", "bad short")
harmless = st.sampled_from(KINDS[:5])
picks = st.lists(st.tuples(st.one_of(harmless, harmless, harmless, st.sampled_from(KINDS)), st.sampled_from(["w1", "w2", "w3"])), max_size=80)


@EXAMPLES
@given(picks, st.booleans(), st.integers(0, 80))
def test_a_quorum_is_of_different_witnesses_and_no_line_in_their_name_is_bad(
    picked: list[tuple[str, str]], log_signed: bool, place: int
) -> None:
    lines = [lines_of(kind, name) for kind, name in picked]
    if log_signed:
        lines.insert(place, LOG_LINE)
    note = TEXT + b"\n" + b"".join(lines)
    witnesses = {name for kind, name in picked if kind.startswith("good")}
    bad = any(kind.startswith("bad") for kind, _ in picked)
    expected = log_signed and not bad and len(witnesses) >= 2 and len(lines) <= SIGNATURES_MAX
    try:
        assert verify_policy(note, POLICY, ORIGIN) == CHECKPOINT
    except PolicyRefused:
        assert not expected
    else:
        assert expected


def test_one_witness_in_as_many_lines_as_fit_is_one_witness() -> None:
    for seconds in (0, 1):
        lines = b"".join(world.WITNESSES["w1"].cosign(TEXT, world.SECONDS + seconds * number) for number in range(SIGNATURES_MAX - 1))
        with pytest.raises(PolicyRefused, match="lacks a cosignature of w2, w3"):
            verify_policy(TEXT + b"\n" + LOG_LINE + lines, POLICY, ORIGIN)


@pytest.mark.parametrize("count", [SIGNATURES_MAX + 1, 1_000, 5_000])
def test_thousands_of_signature_lines_are_refused_before_one_is_verified(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a signature was verified")

    monkeypatch.setattr(NoteVerifier, "verify", never)
    note = TEXT + b"\n" + LOG_LINE * count
    with pytest.raises(Refused, match="at most 64|at most 131,072"):
        open_note(note, [world.LOG.verifier])
    assert (len(note) > NOTE_BYTES_MAX) is (count > 1_000)


def test_a_key_with_the_right_name_and_the_wrong_key_id_or_key_counts_for_nothing() -> None:
    for kind in ("ignored key", "ignored type", "stranger"):
        note = TEXT + b"\n" + LOG_LINE + lines_of("good", "w1") + lines_of(kind, "w2") + lines_of(kind, "w3")
        with pytest.raises(PolicyRefused, match="lacks a cosignature of w2, w3; w1 cosigned"):
            verify_policy(note, POLICY, ORIGIN)


def reached(policy: Policy, name: str, present: frozenset[str]) -> bool:
    """The definition of a quorum, written down once more."""
    if name == "none":
        return True
    if name in policy.witnesses:
        return name in present
    group = policy.groups[name]
    return sum(reached(policy, member, present) for member in group.members) >= group.threshold


@EXAMPLES
@given(st.randoms(use_true_random=False), st.integers(1, 12), st.integers(0, 6))
def test_any_policy_asks_for_the_witnesses_that_its_definition_asks_for(chance: random.Random, witnesses: int, groups: int) -> None:
    names = [f"w{number}" for number in range(witnesses)]
    lines = [f"witness {name} {KEYS[name]}" for name in names]
    free = list(names)
    for number in range(groups):
        if not free:
            break
        members = chance.sample(free, chance.randint(1, min(len(free), 4)))
        free = [name for name in free if name not in members] + [f"g{number}"]
        lines.append(f"group g{number} {chance.choice(['any', 'all', str(chance.randint(1, len(members)))])} {' '.join(members)}")
    policy = parse_policy("\n".join([*lines, f"quorum {chance.choice([*free, 'none'])}"]))
    present = frozenset(name for name in names if chance.randrange(2))
    missing = policy.missing(present)
    assert (missing == ()) is reached(policy, policy.quorum, present)
    assert reached(policy, policy.quorum, present | frozenset(missing))
    assert not set(missing) & present


KEYS = {f"w{number}": cosigner_vkey(f"w{number}.example", digest("policy", number)) for number in range(12)}


def test_a_policy_of_the_deepest_nesting_that_fits_is_followed_to_its_end() -> None:
    """A group in a group in a group: the limit on names is one on depth too."""
    depth = POLICY_NAMES_MAX - 1
    lines = [f"witness g0 {KEYS['w0']}", *(f"group g{number + 1} all g{number}" for number in range(depth))]
    policy = parse_policy("\n".join([*lines, f"quorum g{depth}"]))
    assert policy.missing(frozenset()) == ("g0",)
    assert policy.missing(frozenset({"g0"})) == ()


@pytest.mark.parametrize(
    "lines",
    [
        "group a any b\ngroup b any a\nquorum a", "group a any a\nquorum a", "group a 0 w1\nquorum a", "group a -1 w1\nquorum a",
        "group a 2 w1\nquorum a", "group a 99999999999999999999 w1\nquorum a", "group a +1 w1\nquorum a", "group a 1.0 w1\nquorum a",
        "group a \u0661 w1\nquorum a", "group a ALL w1\nquorum a", "group a w1\nquorum a", "group none any w1\nquorum none",
        "quorum any", "quorum all", "quorum W1", "quorum w1 w2", "quorum w1\nquorum none", "quorum none\nquorum w1",
        "group a any w1 none\nquorum a", "group a any w\u0661\nquorum a", "group a any w1 w1\nquorum a", "QUORUM w1", "quorum\tw1\x0b",
    ],
)  # fmt: skip
def test_a_policy_that_demands_nothing_or_the_impossible_is_refused(lines: str) -> None:
    text = world.POLICY.encode().decode() + lines
    with pytest.raises(PolicyRefused):
        parse_policy(text)
