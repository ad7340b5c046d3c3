"""All golden records: the defects, and one valid event of every kind, made from the types of its class."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
from tenuto.events import EVENT_CLASSES, Event

from tests.golden import defects, sheaves
from tests.golden.world import common, entitled_author, key_events, signed, signer
from tests.unit.events.strategies import PAYLOAD_FIELDS, example


def all_cases() -> dict[str, tuple[str, bytes]]:
    """Name, claim and record of each case; every kind has a valid one that is made from its types."""
    made = {
        name: (inspect.cleandoc(make.__doc__ or ""), make())
        for module in (defects, sheaves)
        for name, make in inspect.getmembers(module, inspect.isfunction)
        if make.__module__ == module.__name__ and not name.startswith("_")
    }
    for cls in EVENT_CLASSES:
        kind = str(cls.__struct_config__.tag)
        claim = f"An event of the kind {kind}, with a value in every field, signed by an author who may write it."
        made["valid_" + kind.replace(".", "_")] = (claim, signed(example_of(cls)).to_bytes())
    return made


def example_of(cls: type[Event]) -> Event:
    """A fixed event of this kind by an author who is entitled to it."""
    info = msgspec.inspect.type_info(cls)
    assert isinstance(info, msgspec.inspect.StructType)
    kind = str(cls.__struct_config__.tag)
    fields = common(entitled_author(kind))
    keys = {one.kind: one for one in key_events()}
    if kind.startswith("key."):
        return key_example(cls, keys)
    for field in info.fields:
        if field.name not in fields and field.name not in PAYLOAD_FIELDS:
            fields[field.name] = example(field.type, field.name)
    return cls(**fields)


def key_example(cls: type[Event], keys: dict[str, Event]) -> Event:
    """Key events must fit the ring: a new key for a new author, or a change of a key that is there."""
    new, old = signer("newcomer"), signer("deployment").key_id
    fields: dict[str, Any] = {
        "subject": "deployment",
        "old_key_id": old,
        "subject_key_id": new.key_id,
        "public_key": new.public_key.hex(),
    }
    if cls.__struct_config__.tag == "key.registered":
        del fields["old_key_id"]
        fields |= {"subject": "newcomer", "role": "agent", "owner": "olga"}
    elif cls.__struct_config__.tag in ("key.epoch_opened", "key.epoch_destroyed"):
        fields = {"epoch": 2} | ({"public_key": new.public_key.hex()} if cls.__struct_config__.tag == "key.epoch_opened" else {})
    elif cls.__struct_config__.tag == "key.storage_renewed":
        fields = {"renewal": 1, "kept": 4_000, "gone": 4_096}
    elif cls.__struct_config__.tag == "key.revoked":
        fields = {"subject": "deployment", "subject_key_id": old, "reason": "compromised"}
    return cls(**common("root", seq=len(keys) + 9), **fields)
