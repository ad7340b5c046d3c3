"""What somebody does who stole the token of the infrastructure agent: takes a lock and writes state, as the protocol allows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.infrastructure.site import Site
from tests.infrastructure.store import lock_of


def write_state(site: Site, edit: Callable[[dict[str, Any]], None], *, lock: str = "thief-1") -> None:
    """Write the newest version again, edited and one serial on; the store sees nothing wrong with it."""
    document = site.state().document()
    edit(document)
    document["serial"] += 1
    path = f"/states/{site.stack}"
    assert site.place.ask("LOCK", path, lock_of(lock))[0] == 200
    assert site.place.ask("POST", f"{path}?ID={lock}", json.dumps(document).encode())[0] == 200
    assert site.place.ask("UNLOCK", path, lock_of(lock))[0] == 200


def insert_a_resource(document: dict[str, Any]) -> None:
    """Put a resource into the state that no configuration has; Terraform plans to delete it."""
    ghost = json.loads(json.dumps(document["resources"][0]))
    ghost["name"] = "ghost"
    document["resources"].append(ghost)


def remove_a_resource(document: dict[str, Any]) -> None:
    """Take a resource out of the state; Terraform plans to create it a second time."""
    document["resources"] = [one for one in document["resources"] if one["name"] != "guard"]


def edit_an_attribute(document: dict[str, Any]) -> None:
    """Change what the state says of a resource; Terraform plans to change it back, and with it whatever the edit stands for."""
    guard = next(one for one in document["resources"] if one["name"] == "guard")
    attributes = guard["instances"][0]["attributes"]
    for name in ("input", "output"):
        attributes[name]["value"]["level"] = "none"
