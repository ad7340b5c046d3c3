"""Notes, keys, checkpoints, proofs and policies, spoiled by the thousand: what we accept, others accept, and read alike.

Where others accept more, the reason is one of those listed here, found in the input itself and not in our refusal.
"""

from __future__ import annotations

import base64
import binascii
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tenuto.errors import Refused
from tenuto.log.checkpoint import SIZE_MAX, parse_checkpoint_text
from tenuto.log.note import NOTE_BYTES_MAX, SIGNATURES_MAX, NoteVerifier, open_note, parse_note, parse_vkey
from tenuto.log.proof import PROOF_TEXT_BYTES_MAX, parse_log_proof
from tenuto.log.tiles import join_bundle, split_bundle, tile_path
from tenuto.log.witnessing import Policy, PolicyRefused, parse_policy, verify_policy

from tests.fuzz import world
from tests.fuzz.mutating import TEXT, spliced, spoiled
from tests.golden.world import ORIGIN, digest
from tests.interop.foreign import ForeignPrograms
from tests.unit.edwards25519 import is_degenerate

SPOILED, POLICIES = 3_000, 800
VERIFIERS = [world.LOG.verifier, *(one.verifier for one in world.WITNESSES.values())]
NOTES = [world.note(), world.note(world.SIZE, "w1", "w2", "w3"), world.note(5, "w2") + world.STRANGER.sign(world.checkpoint(5).text())]
BASE64 = re.compile(rb"[^\s]+")


def inputs(good: list[bytes], seed: int, count: int = SPOILED) -> list[bytes]:
    chance = random.Random(seed)
    ways = (*TEXT, *(spliced(one) for one in good))
    return [*good, *(spoiled(chance, chance.choice(good), ways) for _ in range(count))]


def is_canonical(text: bytes) -> bool:
    """Whether base64 is spelled as an encoder spells it."""
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)) == text
    except (binascii.Error, ValueError):
        return False


def own_note(data: bytes) -> dict[str, Any]:
    try:
        opened = open_note(data, VERIFIERS)
    except Refused:
        return {"accepted": False}
    names = list(dict.fromkeys(signature.name for signature in opened.signatures))
    return {"accepted": True, "text": opened.text.hex(), "names": names}


def why_stricter_with_notes(data: bytes) -> str:
    """Why we may refuse a note that x/mod opens."""
    text, _, lines = data.rpartition("\n\n— ".encode())
    words = [line.rpartition(b" ")[2] for line in lines.split(b"\n") if line]
    if len(data) > NOTE_BYTES_MAX or len(words) > SIGNATURES_MAX:
        return "it is too large"
    if not all(is_canonical(word) for word in words):
        return "base64 in a second form"
    if not text:
        return "it has no text"
    names = [line.removeprefix("— ".encode()).partition(b" ")[0] for line in lines.split(b"\n") if line]
    if max(map(len, names)) > 255:
        return "a name that is too long"
    if len(set(names)) < len(names):
        return "a second signature by a key does not hold; x/mod looks at the first only"
    return ""


def demand_notes(programs: ForeignPrograms, notes: list[bytes]) -> Counter[str]:
    """Return how many were accepted, and the reasons for which we refuse what x/mod opens."""
    keys = [verifier.vkey for verifier in VERIFIERS]
    reasons: Counter[str] = Counter()
    asked = [{"op": "note", "note": note.hex(), "keys": keys} for note in notes]
    for note, found in zip(notes, programs.judge(asked), strict=True):
        ours = own_note(note)
        if ours["accepted"] or not found["accepted"]:
            assert ours == found, note
        else:
            reason = why_stricter_with_notes(note)
            assert reason, note
            reasons[reason] += 1
        reasons["accepted"] += ours["accepted"]
    return reasons


def test_a_note_is_opened_as_the_go_projects_library_opens_it(programs: ForeignPrograms) -> None:
    reasons = demand_notes(programs, [*inputs(NOTES, 1), *second_signatures()])
    assert reasons.keys() == {
        "accepted", "it is too large", "base64 in a second form", "a name that is too long",
        "a second signature by a key does not hold; x/mod looks at the first only",
    }  # fmt: skip


def second_signatures() -> Iterator[bytes]:
    """The same key twice: the same line, two times of a witness, and one that does not hold before or behind one that does."""
    text, log = world.checkpoint().text(), world.LOG.sign(world.checkpoint().text())
    early, late = (world.WITNESSES["w1"].cosign(text, world.SECONDS + more) for more in (0, 60))
    wrong_log, wrong = world.LOG.sign(b"other\n"), world.WITNESSES["w1"].cosign(b"other\n", world.SECONDS)
    for lines in ((log, log), (log, early, late), (log, early, early), (log, wrong_log), (wrong_log, log), (log, early, wrong), (log, wrong, early)):
        yield text + b"\n" + b"".join(lines)
    for count in (SIGNATURES_MAX, SIGNATURES_MAX + 1, 100, 101):
        yield text + b"\n" + log * count


def test_a_checkpoint_is_read_as_torchwood_reads_it_but_without_extensions(programs: ForeignPrograms) -> None:
    good = [world.checkpoint(size).text() for size in (0, 1, world.SIZE)]
    texts = [*inputs(good, 2), good[0] + b"extension\n", good[1].replace(b"\n1\n", b"\n9223372036854775807\n")]
    reasons: Counter[str] = Counter()
    for text, found in zip(texts, programs.judge([{"op": "checkpoint", "text": text.hex()} for text in texts]), strict=True):
        try:
            one = parse_checkpoint_text(text)
        except Refused:
            if found["torchwood"] is not None:
                reason = why_stricter_with_checkpoints(text, found["torchwood"])
                assert reason, text
                reasons[reason] += 1
            continue
        assert [one.origin, str(one.size), one.root.hex(), ""] == found["torchwood"] == found["formats"]
        reasons["accepted"] += 1
    assert reasons.keys() == {
        "accepted", "an extension", "base64 in a second form", "an origin that no key can have", "an origin that is not UTF-8",
    }  # fmt: skip


def why_stricter_with_checkpoints(text: bytes, found: list[str]) -> str:
    origin, size, root = text.split(b"\n")[:3]
    assert int(size) <= SIZE_MAX
    if found[3]:
        return "an extension"
    if not is_canonical(root):
        return "base64 in a second form"
    try:
        origin.decode()
    except UnicodeDecodeError:
        return "an origin that is not UTF-8"
    return "an origin that no key can have" if not 1 <= len(origin) <= 255 else ""


def test_a_key_that_we_take_is_one_and_of_those_that_we_do_not_take_each_has_its_reason(programs: ForeignPrograms) -> None:
    good = [world.LOG.vkey.encode(), world.WITNESSES["w1"].vkey.encode(), world.STRANGER.vkey.encode()]
    points = [bytes([1]) + bytes(31), bytes(32), (2**255 - 19).to_bytes(32, "little"), bytes([2]) + bytes(31)]
    weak = [NoteVerifier("weak.example", algorithm, point).vkey.encode() for algorithm in (1, 4) for point in points]
    keys = [*inputs(good, 3), *weak, *(key.replace(key.split(b"+")[1], key.split(b"+")[1].upper()) for key in good)]
    reasons: Counter[str] = Counter()
    for key, found in zip(keys, programs.judge([{"op": "key", "key": key.hex()} for key in keys]), strict=True):
        accepted = ""
        try:
            verifier = parse_vkey(key.decode("utf-8"))
        except (Refused, UnicodeDecodeError):
            if found["note"]:  # the library for cosignatures does not compare the key id at all
                accepted = why_stricter_with_keys(key)
                assert accepted, key
        else:
            assert found["note"] is (verifier.algorithm == 1)
            assert found["cosignature"]
            accepted = "accepted"
        reasons[accepted] += 1
    assert reasons.keys() >= {"accepted", "degenerate", "key id in capitals", "base64 in a second form"}


def why_stricter_with_keys(key: bytes) -> str:
    name, key_id, encoded = key.split(b"+", 2)
    if key_id != key_id.lower():
        return "key id in capitals"
    if not is_canonical(encoded):
        return "base64 in a second form"
    if is_degenerate(base64.b64decode(encoded)[1:]):
        return "degenerate"
    return "a name that is too long" if len(name) > 255 or re.search(rb"[\x00-\x1f]", name) else ""


def test_an_offline_proof_is_read_as_the_formats_library_reads_it(programs: ForeignPrograms) -> None:
    proofs = inputs([world.PROOF, world.OTHER_PROOF], 4)
    reasons: Counter[str] = Counter()
    for text, found in zip(proofs, programs.judge([{"op": "proof", "text": text.hex()} for text in proofs]), strict=True):
        try:
            proof = parse_log_proof(text)
        except Refused:
            if found["accepted"]:
                reason = why_stricter_with_proofs(text, found)
                assert reason, text
                reasons[reason] += 1
            continue
        reasons["accepted"] += 1
        if not found["accepted"]:
            assert longest_line(text) > 65_000, text  # its reader takes no longer lines
            continue
        ours = {
            "accepted": True, "index": str(proof.index), "hashes": [one.hex() for one in proof.hashes],
            "extra": proof.extra.hex(), "note": proof.note.hex(),
        }  # fmt: skip
        # It reads lines, so that carriage returns and a missing newline at the end are lost to it; a note with either is none.
        if not is_note(proof.note):
            reasons["what follows is no note"] += 1
            ours.pop("note"), found.pop("note")
        assert ours == found, text
    assert reasons["accepted"] > 100
    assert set(reasons) <= {
        "accepted", "what follows is no note", "base64 in a second form", "too many hashes", "too large", "carriage returns",
        "an index that no entry can have", "a second spelling of the index", "no checkpoint",
    }  # fmt: skip


def longest_line(text: bytes) -> int:
    return max(map(len, text.split(b"\n")))


def is_note(note: bytes) -> bool:
    try:
        parse_note(note)
    except Refused:
        return False
    return True


def why_stricter_with_proofs(text: bytes, found: dict[str, Any]) -> str:
    head, gap, _ = text.partition(b"\n\n")
    index = next((line[6:] for line in head.split(b"\n") if line.startswith(b"index ")), b"")
    words = [line.rpartition(b" ")[2] for line in head.split(b"\n")[1:] if not line.startswith(b"index ")]
    if len(text) > PROOF_TEXT_BYTES_MAX:
        return "too large"
    if b"\r" in text:
        return "carriage returns"
    if not gap or not found["note"]:
        return "no checkpoint"
    if int(found["index"]) > SIZE_MAX:
        return "an index that no entry can have"
    if index != found["index"].encode():
        return "a second spelling of the index"
    if len(found["hashes"]) > 64:
        return "too many hashes"
    return "" if all(is_canonical(word) for word in words) else "base64 in a second form"


def policies(chance: random.Random) -> tuple[str, list[str]]:
    """A policy of witnesses and groups at random, mostly sound, and the names of its witnesses."""
    names = [f"w{number}" for number in range(chance.randint(1, 6))]
    lines = [f"witness {name} {KEYS[name].vkey} https://{name}.example/" for name in names]
    known = list(names)
    for number in range(chance.randint(0, 4)):
        members = chance.sample(known, chance.randint(1, min(3, len(known))))
        threshold = chance.choice(["any", "all", str(chance.randint(0, len(members) + 1))])
        lines.append(f"group g{number} {threshold} {' '.join(members)}")
        known.append(f"g{number}")
        if chance.randrange(8):
            known = [name for name in known if name not in members]
    lines.append(f"quorum {chance.choice([*known, 'none', 'nobody'])}")
    if chance.randrange(6) == 0:
        chance.shuffle(lines)
    return "\n".join(lines) + "\n", names


KEYS = {name: type(world.WITNESSES["w1"])(f"{name}.example", digest("judged", name)) for name in (f"w{number}" for number in range(6))}


def test_a_quorum_is_reached_when_others_say_so_and_what_we_call_no_policy_has_its_reason(programs: ForeignPrograms) -> None:
    chance = random.Random(5)
    asked, ours = [], []
    text, log = world.checkpoint().text(), world.LOG.sign(world.checkpoint().text())
    for _ in range(POLICIES):
        policy, names = policies(chance)
        present = [name for name in names if chance.randrange(2)]
        note = text + b"\n" + log + b"".join(KEYS[name].cosign(text, world.SECONDS) for name in present)
        asked.append({"op": "policy", "policy": policy.encode().hex(), "note": note.hex()})
        ours.append(own_policy(policy, note))
    results: Counter[tuple[bool, bool]] = Counter()
    for request, (parsed, satisfied), found in zip(asked, ours, programs.judge(asked), strict=True):
        policy = bytes.fromhex(request["policy"]).decode()
        if parsed:
            assert found == {"parsed": True, "satisfied": satisfied}, policy
        elif found["parsed"]:
            assert why_stricter_with_policies(policy), policy
        results[parsed, satisfied] += 1
    assert min(results.values()) > POLICIES // 20
    assert len(results) == 3


def own_policy(text: str, note: bytes) -> tuple[bool, bool]:
    try:
        policy: Policy = parse_policy(f"log {world.LOG.vkey}\n{text}")
    except PolicyRefused:
        return False, False
    try:
        verify_policy(note, policy, ORIGIN)
    except PolicyRefused:
        return True, False
    return True, True


def why_stricter_with_policies(text: str) -> str:
    """A group of nobody, a name in two groups (the specification forbids both), or a quorum before what it names."""
    groups = [line.split() for line in text.splitlines() if line.startswith("group ")]
    members = [member for group in groups for member in group[3:]]
    if any(group[2] == "0" for group in groups):
        return "a threshold of zero"
    if len(members) != len(set(members)):
        return "a member of two groups"
    return "a quorum before its members" if not text.splitlines()[-1].startswith("quorum ") else ""


def test_tiles_lie_where_torchwood_looks_for_them_and_bundles_end_where_it_ends_them(programs: ForeignPrograms) -> None:
    chance = random.Random(6)
    tiles = [(level, chance.getrandbits(chance.randrange(1, 55)), chance.randint(1, 256)) for level in (*range(7), -1) for _ in range(80)]
    asked: list[dict[str, Any]] = [{"op": "tile", "index": str(number), "size": str(width), "old": str(level)} for level, number, width in tiles]
    for (level, number, width), found in zip(tiles, programs.judge(asked), strict=True):
        assert found == {"path": tile_path("entries" if level < 0 else level, number, width)}
    good = [join_bundle(world.ENTRIES), join_bundle([b"", b"x", b"y" * 300])]
    bundles = [*inputs(good, 7, 1_000), b""]
    for bundle, found in zip(bundles, programs.judge([{"op": "bundle", "text": one.hex()} for one in bundles]), strict=True):
        try:
            entries = split_bundle("a bundle", bundle)
        except Refused:
            assert not found["accepted"]
        else:
            assert found == {"accepted": True, "entries": [entry.hex() for entry in entries]}
