"""Who may sign what, at which position: every answer follows from the events before it."""

from __future__ import annotations

from typing import Any

import pytest
from tenuto.events import Event, KeyRegistered, KeyRevoked, KeyRotated, RecordRefused, SessionOpened
from tenuto.keyring import ENTITLED, Keyring, KeyringRefused
from tenuto.signing import KeyRefused, SeedSigner

from tests.golden.world import AUTHORS, common, digest, ring, signer, tool_started

NEW = SeedSigner("deployment", digest("another seed"))


def registered(subject: str, one: SeedSigner, *, author: str = "root", **fields: Any) -> KeyRegistered:
    own = {"subject_key_id": one.key_id, "public_key": one.public_key.hex(), "role": "agent", "owner": "olga"}
    return KeyRegistered(**common(author), subject=subject, **(own | fields))


def rotated(subject: str, one: SeedSigner = NEW, *, author: str, old: str | None = None) -> KeyRotated:
    return KeyRotated(
        **common(author), subject=subject, old_key_id=old or signer(subject).key_id, subject_key_id=one.key_id,
        public_key=one.public_key.hex(),
    )  # fmt: skip


def revoked(subject: str, *, author: str, name: str | None = None) -> KeyRevoked:
    return KeyRevoked(
        **common(author), subject=subject, subject_key_id=name or signer(subject).key_id, reason="compromised"
    )


def take(keyring: Keyring, event: Event, position: int = 50) -> None:
    """As every walk does: entitlement first, then the event itself."""
    keyring.verify_entitlement(event)
    keyring.apply(event, position)


def test_a_new_ring_holds_the_pinned_root_and_nobody_else() -> None:
    (root,) = Keyring(signer("root").public_key).keys()
    assert (root.author, root.role, root.since, root.until) == ("root", "root", -1, None)


def test_a_degenerate_root_key_cannot_be_pinned() -> None:
    with pytest.raises(KeyRefused):
        Keyring(bytes(32))


def test_a_registered_key_may_sign_from_the_next_event_on() -> None:
    keyring = Keyring(signer("root").public_key)
    event = tool_started()
    with pytest.raises(KeyringRefused, match="registered") as caught:
        keyring.find("deployment", event.key_id)
    assert caught.value.reason == "unknown_key"
    take(keyring, registered("deployment", signer("deployment")), 3)
    key = keyring.verify_entitlement(event)
    assert (key.role, key.owner, key.since, key.until, key.insecure_demo) == ("agent", "olga", 3, None, False)


def test_a_key_of_the_demo_stays_marked_through_its_rotation() -> None:
    keyring = Keyring(signer("root").public_key)
    take(keyring, registered("deployment", signer("deployment"), insecure_demo=True))
    take(keyring, rotated("deployment", author="deployment"))
    assert keyring.current("deployment").insecure_demo


@pytest.mark.parametrize("author", sorted(AUTHORS.keys() - {"retired"}))
def test_only_the_root_registers_keys(author: str) -> None:
    with pytest.raises(KeyringRefused, match="may not write key.registered") as caught:
        take(ring(), registered("mallory", NEW, author=author))
    assert caught.value.reason == "entitlement"


def test_a_key_under_a_name_that_is_not_its_hash_is_refused() -> None:
    with pytest.raises(KeyringRefused, match="its own name is"):
        take(ring(), registered("mallory", NEW, subject_key_id=signer("deployment").key_id))


def test_no_two_authors_share_a_key() -> None:
    with pytest.raises(KeyringRefused, match="in the ring already"):
        take(ring(), registered("mallory", signer("deployment")))


def test_a_revoked_key_cannot_be_registered_again() -> None:
    with pytest.raises(KeyringRefused, match="in the ring already"):
        take(ring(), registered("retired", signer("retired")))


@pytest.mark.parametrize("public_key", ["00" * 32, "01" + "00" * 31, "ee" + "ff" * 30 + "7f"])
def test_a_degenerate_key_is_refused_even_from_the_root(public_key: str) -> None:
    with pytest.raises(KeyRefused):
        take(ring(), registered("mallory", NEW, public_key=public_key))


def test_a_refused_key_event_leaves_the_ring_as_it_was() -> None:
    keyring = ring()
    before = keyring.keys()
    for event in (registered("mallory", signer("deployment")), revoked("carol", author="deployment")):
        with pytest.raises(KeyringRefused):
            take(keyring, event)
    assert keyring.keys() == before


def test_a_refused_rotation_does_not_end_the_old_key() -> None:
    keyring = ring()
    with pytest.raises(KeyringRefused, match="in the ring already"):
        take(keyring, rotated("deployment", signer("infrastructure"), author="deployment"))
    assert keyring.find("deployment", signer("deployment").key_id)


@pytest.mark.parametrize("author", ["deployment", "root"])
def test_a_key_is_rotated_by_itself_or_by_the_root(author: str) -> None:
    keyring = ring()
    take(keyring, rotated("deployment", author=author), 50)
    new = keyring.current("deployment")
    assert (new.key_id, new.role, new.owner, new.since) == (NEW.key_id, "agent", "owner-of-deployment", 50)
    with pytest.raises(KeyringRefused, match="revoked at position 50") as caught:
        keyring.find("deployment", signer("deployment").key_id)
    assert caught.value.reason == "revoked_key"


@pytest.mark.parametrize("author", ["deployment", "root"])
def test_a_key_is_revoked_by_itself_or_by_the_root(author: str) -> None:
    keyring = ring()
    take(keyring, revoked("deployment", author=author))
    with pytest.raises(KeyringRefused) as caught:
        keyring.verify_entitlement(tool_started())
    assert caught.value.reason == "revoked_key"
    with pytest.raises(KeyringRefused, match="no valid key"):
        keyring.current("deployment")


@pytest.mark.parametrize("event", [rotated("carol", author="deployment"), revoked("carol", author="deployment")])
def test_nobody_changes_the_key_of_another(event: Event) -> None:
    with pytest.raises(KeyringRefused, match="may not change a key of carol") as caught:
        take(ring(), event)
    assert caught.value.reason == "entitlement"


def test_a_key_that_never_was_cannot_be_rotated_or_revoked() -> None:
    for event in (
        rotated("deployment", author="root", old="0" * 16),
        revoked("deployment", author="root", name="0" * 16),
    ):
        with pytest.raises(KeyringRefused, match="registered"):
            take(ring(), event)


def test_a_key_is_revoked_only_once() -> None:
    keyring = ring()
    take(keyring, revoked("deployment", author="root"), 50)
    with pytest.raises(KeyringRefused, match="revoked at position 50"):
        take(keyring, revoked("deployment", author="root"), 51)


def test_an_event_signed_with_a_revoked_key_is_refused() -> None:
    with pytest.raises(KeyringRefused) as caught:
        ring().verify_entitlement(tool_started("retired"))
    assert caught.value.reason == "revoked_key"


def test_the_key_of_another_author_is_not_a_key_of_this_one() -> None:
    with pytest.raises(KeyringRefused) as caught:
        ring().find("deployment", signer("infrastructure").key_id)
    assert caught.value.reason == "unknown_key"


def test_a_valid_key_entitles_to_nothing_outside_its_role() -> None:
    with pytest.raises(KeyringRefused, match="role reviewer, which may not write tool.started") as caught:
        ring().verify_entitlement(tool_started("carol"))
    assert caught.value.reason == "entitlement"


def test_only_ingest_may_say_that_a_record_was_refused() -> None:
    entitled = {role for role, kinds in ENTITLED.items() if "record.refused" in kinds}
    assert entitled == {"ingest"}
    event = RecordRefused(
        **common("deployment"), record_sha256="a" * 64, reason="signature", topic="t", partition=0, offset=0
    )
    with pytest.raises(KeyringRefused):
        ring().verify_entitlement(event)


def test_no_agent_may_decide_about_its_own_approval() -> None:
    assert not ENTITLED["agent"] & {
        "approval.signed",
        "spotcheck.signed",
        "key.registered",
        "policy.changed",
        "record.purged",
    }


def test_the_newest_of_several_keys_is_current() -> None:
    keyring = ring()
    take(keyring, registered("deployment", NEW))
    assert keyring.current("deployment").key_id == NEW.key_id
    assert keyring.find("deployment", signer("deployment").key_id)


def test_a_copy_is_tried_without_touching_the_original() -> None:
    keyring = ring()
    twin = keyring.copy()
    take(twin, revoked("deployment", author="root"))
    assert keyring.verify_entitlement(tool_started())
    assert len(twin.keys()) == len(keyring.keys())


def test_events_that_are_not_about_keys_change_nothing() -> None:
    keyring = ring()
    before = keyring.keys()
    take(keyring, SessionOpened(**common("deployment"), software="test/1"))
    assert keyring.keys() == before
