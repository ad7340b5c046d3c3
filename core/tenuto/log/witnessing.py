"""What witnesses are for, seen from outside: which cosignatures a reader demands, and how a log asks for one.

A witness cosigns a checkpoint only if it extends the last one it saw (C2SP tlog-cosignature, tlog-witness). A log that
shows two histories must therefore fool every witness of a quorum. The policy (C2SP tlog-policy) is the reader's: a
small text naming the log, the witnesses, groups of them, and the quorum without which a checkpoint does not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import Refused
from .checkpoint import Checkpoint, CheckpointRefused, parse_checkpoint_text, parse_size
from .note import COSIGNATURE, ED25519, Cosigner, NoteRefused, NoteVerifier, encode_base64, open_note, parse_vkey
from .proof import ProofRefused, parse_hash_lines

POLICY_BYTES_MAX = 65_536
POLICY_NAMES_MAX = 128
REQUEST_HASHES_MAX = 63
NONE = "none"
_SPACE = re.compile(r"[ \t]+")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_THRESHOLD = re.compile(r"[1-9][0-9]{0,8}")


class PolicyRefused(Refused):
    """The policy is malformed, or a checkpoint does not satisfy it; names the witness that is missing."""


class WitnessRefused(Refused):
    """A witness does not cosign. `status` is the HTTP status of C2SP tlog-witness: 400, 403, 404, 409, 422."""

    def __init__(self, sentence: str, status: int) -> None:
        """See the class."""
        super().__init__(sentence)
        self.status = status


class WitnessConflict(WitnessRefused):
    """The request builds on another size than the witness saw last, which is `size`. Ask again from there."""

    def __init__(self, size: int) -> None:
        """See the class."""
        super().__init__(f"The witness saw this log last with {size} entries.", 409)
        self.size = size


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A log or witness that a policy names: its key, and where it answers, if the policy says so."""

    verifier: NoteVerifier
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Counts as one witness once `threshold` of its members (witnesses or groups) have cosigned."""

    threshold: int
    members: tuple[str, ...]


@dataclass
class Policy:
    """Which logs are accepted and whose cosignatures they need. `quorum` names a witness, a group, or `none`."""

    logs: list[KnownKey] = field(default_factory=list)
    witnesses: dict[str, KnownKey] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str = ""

    def missing(self, present: frozenset[str], name: str | None = None) -> tuple[str, ...]:
        """Return the witnesses without which the quorum (or `name`) is not reached; empty once it is."""
        name = self.quorum if name is None else name
        if name in present or name == NONE:
            return ()
        group = self.groups.get(name)
        if group is None:
            return (name,)
        lacking = [missing for member in group.members if (missing := self.missing(present, member))]
        if len(group.members) - len(lacking) >= group.threshold:
            return ()
        return tuple(witness for missing in lacking for witness in missing)


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """What a log sends to a witness: a signed checkpoint, and the proof that it extends the one of `old_size`."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    def to_bytes(self) -> bytes:
        """Return the body of `POST /add-checkpoint`."""
        hashes = "".join(f"{encode_base64(proof_hash)}\n" for proof_hash in self.proof)
        return f"old {self.old_size}\n{hashes}\n".encode() + self.note


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Return the request in a body; raises WitnessRefused (400) when malformed or above REQUEST_HASHES_MAX (63)."""
    head, gap, note = body.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    if not gap or not first.startswith(b"old "):
        raise WitnessRefused("A request has an `old` line, proof lines, an empty line and a checkpoint.", 400)
    if len(lines) > REQUEST_HASHES_MAX:
        raise WitnessRefused(f"The request has {len(lines)} hashes; at most {REQUEST_HASHES_MAX} are allowed.", 400)
    try:
        return AddCheckpoint(parse_size(first[4:]), parse_hash_lines(lines), note)
    except (CheckpointRefused, ProofRefused) as refusal:
        raise WitnessRefused(f"The request is malformed: {refusal}", 400) from refusal


def cosigner_vkey(name: str, seed: bytes) -> str:
    """Return the verifier key of a witness called `name` with this Ed25519 seed, to be put into policies."""
    return Cosigner(name, seed).vkey


def verify_policy(note: bytes, policy: Policy, origin: str) -> Checkpoint:
    """Return the checkpoint in `note`; raises PolicyRefused unless the log signed it and the quorum cosigned it.

    `origin` says which log the reader expects. The refusal names the witnesses that are missing.
    """
    logs = [log.verifier for log in policy.logs if log.verifier.name == origin]
    if not logs:
        raise PolicyRefused(f"The policy knows no log called {origin!r:.120}.")
    try:
        opened = open_note(note, [*logs, *(witness.verifier for witness in policy.witnesses.values())])
        checkpoint = parse_checkpoint_text(opened.text)
    except (NoteRefused, CheckpointRefused) as refusal:
        raise PolicyRefused(f"The checkpoint is refused: {refusal}") from refusal
    if not any(opened.signed_by(verifier) for verifier in logs):
        raise PolicyRefused(f"The checkpoint is not signed by the log {origin}.")
    if checkpoint.origin != origin:
        raise PolicyRefused(f"The checkpoint is of the log {checkpoint.origin!r:.120}, not of {origin}.")
    present = frozenset(name for name, witness in policy.witnesses.items() if opened.signed_by(witness.verifier))
    if missing := policy.missing(present):
        found = ", ".join(sorted(present)) or "no witness"
        sentence = f"The quorum {policy.quorum!r} lacks a cosignature of {', '.join(missing)}; {found} cosigned."
        raise PolicyRefused(sentence)
    return checkpoint


def parse_policy(text: str) -> Policy:
    """Return the policy in a C2SP tlog-policy text; raises PolicyRefused naming the line.

    At most POLICY_BYTES_MAX (65,536) bytes and POLICY_NAMES_MAX (128) logs, witnesses and groups together.
    """
    if len(text.encode()) > POLICY_BYTES_MAX:
        raise PolicyRefused(f"The policy has {len(text.encode()):,} bytes; at most {POLICY_BYTES_MAX:,} are allowed.")
    policy = Policy()
    for number, line in enumerate(text.split("\n"), start=1):
        words = _SPACE.split(line.strip(" \t"))
        if words == [""] or words[0].startswith("#"):
            continue
        try:
            if _FORBIDDEN.search(line):
                raise PolicyRefused("it contains a control character")
            _take(policy, words[0], words[1:])
        except (PolicyRefused, NoteRefused) as refusal:
            raise PolicyRefused(f"Line {number} of the policy is refused: {refusal}") from refusal
        if len(policy.logs) + len(policy.witnesses) + len(policy.groups) > POLICY_NAMES_MAX:
            raise PolicyRefused(f"The policy names more than {POLICY_NAMES_MAX} logs, witnesses and groups.")
    if not policy.quorum:
        raise PolicyRefused("The policy has no quorum line. To demand no witness at all, say so: `quorum none`.")
    return policy


def _take(policy: Policy, keyword: str, words: Sequence[str]) -> None:
    match keyword, words:
        case "log", [vkey, *url] if len(url) <= 1:
            known = _known_key(vkey, url, ED25519, policy.logs)
            policy.logs.append(known)
        case "witness", [name, vkey, *url] if len(url) <= 1:
            _demand_new(policy, name)
            policy.witnesses[name] = _known_key(vkey, url, COSIGNATURE, list(policy.witnesses.values()))
        case "group", [name, threshold, *members] if members:
            _demand_new(policy, name)
            policy.groups[name] = _group(policy, threshold, members)
        case "quorum", [name]:
            if policy.quorum:
                raise PolicyRefused("there is a second quorum line")
            if name != NONE:
                _demand_known(policy, name)
            policy.quorum = name
        case _:
            raise PolicyRefused(f"it is not a log, witness, group or quorum line: {keyword!r:.40}")


def _known_key(vkey: str, url: Sequence[str], algorithm: int, others: Sequence[KnownKey]) -> KnownKey:
    known = KnownKey(parse_vkey(vkey), url[0] if url else None)
    if known.verifier.algorithm != algorithm:
        found = f"{known.verifier.algorithm:#04x}"
        raise PolicyRefused(f"the key of {known.verifier.name} has the type {found}, not {algorithm:#04x}")
    if any(other.verifier.public_key == known.verifier.public_key for other in others):
        raise PolicyRefused(f"the key of {known.verifier.name} is there already; one key counts once")
    return known


def _group(policy: Policy, threshold: str, members: Sequence[str]) -> Group:
    for member in members:
        _demand_known(policy, member)
        taken = any(member in group.members for group in policy.groups.values())
        if taken or members.count(member) > 1:
            raise PolicyRefused(f"{member!r} is a member already; each name counts in one way only")
    needed = {"any": 1, "all": len(members)}.get(threshold)
    if needed is None:
        needed = int(threshold) if _THRESHOLD.fullmatch(threshold) else 0
    if not 1 <= needed <= len(members):
        raise PolicyRefused(f"the threshold {threshold!r:.20} is not all, any, or a number from 1 to {len(members)}")
    return Group(needed, tuple(members))


def _demand_new(policy: Policy, name: str) -> None:
    if name == NONE or name in policy.witnesses or name in policy.groups:
        raise PolicyRefused(f"the name {name!r:.80} is taken")


def _demand_known(policy: Policy, name: str) -> None:
    if name not in policy.witnesses and name not in policy.groups:
        raise PolicyRefused(f"{name!r:.80} is not the name of a witness or group on an earlier line")
