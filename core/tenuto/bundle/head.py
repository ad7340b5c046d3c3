"""Steps 7 to 9 for a bundle, and before them the question whose facts they are checked against."""

from __future__ import annotations

from ..errors import Refused
from ..keyring import Keyring
from ..log.checkpoint import Checkpoint, parse_checkpoint
from ..log.note import NOTE_BYTES_MAX, open_note, parse_vkey
from ..log.proof import verify_consistency
from ..log.witnessing import NONE as NO_QUORUM
from ..log.witnessing import parse_policy, verify_policy
from ..trust import TRUST_FILE, Trust
from ..verification import VerificationFailed
from .layout import POLICY_FILE, BundleRefused, parse_consistency


def agreed_trust(own: Trust, policy: bytes, given: Trust | None) -> tuple[Trust, tuple[str, ...]]:
    """Return the facts to verify against, and what to remark; `given` is the receiver's own trust file.

    Raises BundleRefused when the bundle names another log or other keys than the receiver trusts. The witness policy is
    the receiver's to choose, so a different one is remarked and the receiver's is used.
    """
    if policy != own.policy.encode():
        raise BundleRefused(f"The file {POLICY_FILE} of the bundle is not the policy in its {TRUST_FILE}.")
    if given is None:
        return own, ()
    for name in ("origin", "root_public_key", "log_key"):
        found, expected = getattr(own, name), getattr(given, name)
        if found != expected:
            raise BundleRefused(f"The bundle's {TRUST_FILE} has the {name} {found!r:.120}; you trust {expected!r:.120}.")
    if own.policy != given.policy:
        return given, ("The bundle names another witness policy than your trust file; yours was used.",)
    return given, ()


def pinned_keyring(trust: Trust) -> Keyring:
    """Return the ring with the root's key alone; raises VerificationFailed (step 2) when it is no key."""
    try:
        return Keyring(trust.root)
    except (Refused, ValueError) as refusal:
        raise VerificationFailed(2, f"the root's key in the trust file is refused: {refusal}") from refusal


def verified_head(note: bytes, trust: Trust) -> Checkpoint:
    """Return the checkpoint that the log signed; raises VerificationFailed (step 7)."""
    try:
        return parse_checkpoint(note, trust.log_key, trust.origin)  # (7)
    except Refused as refusal:
        raise VerificationFailed(7, str(refusal)) from refusal


def verify_witnessed(note: bytes, trust: Trust) -> tuple[bool, str]:
    """Return whether step 8 was taken, and what to say; raises VerificationFailed (step 8)."""
    try:
        policy = parse_policy(trust.policy) if trust.policy.strip() else None
        if policy is None or policy.quorum == NO_QUORUM:
            return False, "The policy names no witness: nobody outside has confirmed this checkpoint."
        verify_policy(note, policy, trust.origin)  # (8)
    except Refused as refusal:
        raise VerificationFailed(8, str(refusal)) from refusal
    named = ", ".join(witness.verifier.name for witness in policy.witnesses.values())
    return True, f"It is cosigned as the policy demands (quorum {policy.quorum}, of {named})."


def verify_extension(
    head: Checkpoint, trust: Trust, brought: tuple[bytes, bytes] | None, since: bytes | None
) -> tuple[bool, str]:
    """Return whether step 9 was taken, and what to say; raises VerificationFailed (step 9).

    brought: the note and the consistency proof in the bundle. since: the note that the receiver kept, which counts.
    """
    seen = None if since is None else _signed_before(since, trust)
    if brought is None:
        if seen is None:
            return False, "No earlier checkpoint is in the bundle; name the last one you saw with --since."
        if seen != head:
            sentence = f"the bundle ends at {head.size} events and does not show how they go with the {seen.size} you saw"
            raise VerificationFailed(9, f"{sentence}. Ask for a bundle made with --since and your checkpoint")
        return True, f"It is the checkpoint over {head.size:,} events that you saw before, unchanged."
    first = _signed_before(brought[0], trust)
    if brought[0] != signed_by_log(brought[0], trust):
        raise VerificationFailed(9, "the earlier checkpoint in the bundle carries more than the log's own signature")
    if seen is not None and first != seen:
        raise VerificationFailed(9, f"the bundle begins at another checkpoint (over {first.size} events) than the one you saw")
    try:
        verify_consistency(first.size, first.root, head.size, head.root, parse_consistency(brought[1]))  # (9)
    except Refused as refusal:
        raise VerificationFailed(9, str(refusal)) from refusal
    whose = "that you saw" if seen is not None else "in the bundle; compare it with the last one that you saw"
    return True, f"The checkpoint over {head.size:,} events extends the one over {first.size:,} {whose}."


def signed_by_log(note: bytes, trust: Trust) -> bytes:
    """Return a checkpoint's note with the log's signature alone, as `checkpoint.first` has it; raises NoteRefused.

    Whoever named it has judged its witnesses then; what nobody checks now does not travel.
    """
    opened = open_note(note, [parse_vkey(trust.log_key)])
    return opened.text + b"\n" + opened.signatures[0].line


def _signed_before(note: bytes, trust: Trust) -> Checkpoint:
    if len(note) > NOTE_BYTES_MAX:
        raise VerificationFailed(9, f"the earlier checkpoint is larger than {NOTE_BYTES_MAX:,} bytes")
    try:
        return parse_checkpoint(note, trust.log_key, trust.origin)
    except Refused as refusal:
        raise VerificationFailed(9, f"the earlier checkpoint does not count: {refusal}") from refusal
