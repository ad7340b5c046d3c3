"""The release as an OCI image: the pinned base and one layer with the files of the commit, the same bytes on every machine.

Nothing is taken from a clock, a user or a build: whoever has the commit and the base gets the same manifest, so the digest
that people approve can be computed again by anybody. Layout and manifests follow the OCI image specification 1.0.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..artifact import Artifact, ArtifactRefused, Service, unpacked
from .containerfile import BaseImage

RELEASE_FOLDER = "release"
PORT = 8080
USER = "65534:65534"
MANIFEST_BYTES_MAX = 1_000_000
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_NO_TIME = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Image:
    """A built image: SHA-256 of its manifest in hex, its layout on disk, and what it was made of."""

    digest: str
    layout: Path
    base: str
    commit: str
    service: Service


def build_image(artifact: Artifact, base: BaseImage, base_layout: Path, folder: Path) -> Image:
    """Write the image of a release into the empty `folder` as an OCI layout, and return it; raises ArtifactRefused.

    base_layout: the layout of the base image, pulled by digest and signature; its digest is checked here once more. The
    base's entry point runs the entry file of the service, which finds its port in PORT.
    """
    if artifact.service is None:
        raise ArtifactRefused("The commit has no deploy/service.json; only a service runs in a container.")
    manifest, config = _read_base(base_layout, base)
    layer = layer_of(unpacked(artifact))
    layer_digest = _sha256(layer)
    _configure(config, artifact, artifact.service, layer_digest, base)
    content = _canonical(config)
    built = {
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": _descriptor(CONFIG_TYPE, content),
        "layers": [*manifest["layers"], _descriptor(LAYER_TYPE, layer)],
    }  # fmt: skip
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for one in manifest["layers"]:
        os.link(_blob(base_layout, one["digest"]), _blob(folder, one["digest"]))
    packed = _canonical(built)
    for blob in (layer, content, packed):
        (blobs / _sha256(blob)).write_bytes(blob)
    _write_index(folder, packed)
    return Image(_sha256(packed), folder, base.reference, artifact.commit, artifact.service)


def layer_of(files: dict[str, bytes], prefix: str = RELEASE_FOLDER) -> bytes:
    """Return `files` as one tar layer under `prefix`: owned by root, readable by all, without a time, in order of name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape") as tar:
        for path in sorted(files):
            member = tarfile.TarInfo(f"{prefix}/{path}" if prefix else path)
            member.size, member.mode = len(files[path]), 0o555
            tar.addfile(member, io.BytesIO(files[path]))
    return packed.getvalue()


def _read_base(layout: Path, base: BaseImage) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and configuration of the base, each checked against the digest that names it."""
    manifest = _load(layout, f"sha256:{base.digest}")
    if manifest.get("mediaType", MANIFEST_TYPE) != MANIFEST_TYPE:
        raise ArtifactRefused(f"The base image {base.reference} is not one OCI image. Name the digest of the image, not of an index.")
    return manifest, _load(layout, manifest["config"]["digest"])


def _load(layout: Path, digest: str) -> dict[str, Any]:
    try:
        content = _blob(layout, digest).read_bytes()
    except OSError as error:
        raise ArtifactRefused(f"The base image lacks the blob {digest[:90]}.") from error
    if len(content) > MANIFEST_BYTES_MAX or f"sha256:{_sha256(content)}" != digest:
        raise ArtifactRefused(f"The blob {digest[:90]} of the base image is not the one that its digest names.")
    return json.loads(content)  # type: ignore[no-any-return]


def _configure(config: dict[str, Any], artifact: Artifact, service: Service, layer: str, base: BaseImage) -> None:
    run = config.setdefault("config", {})
    run["Cmd"] = [f"/{RELEASE_FOLDER}/{service.entry}"]
    run["Env"] = [one for one in run.get("Env") or [] if not one.startswith("PORT=")] + [f"PORT={PORT}"]
    run["User"], run["WorkingDir"] = USER, f"/{RELEASE_FOLDER}"
    run["Labels"] = {
        "org.opencontainers.image.revision": artifact.commit, "org.opencontainers.image.version": service.version,
        "org.opencontainers.image.base.digest": f"sha256:{base.digest}", "org.opencontainers.image.base.name": base.reference,
    }  # fmt: skip
    config["created"] = _NO_TIME
    config["rootfs"]["diff_ids"] = [*config["rootfs"]["diff_ids"], f"sha256:{layer}"]
    config["history"] = [*(config.get("history") or []), {"created": _NO_TIME, "created_by": f"release {artifact.digest}"}]


def _write_index(folder: Path, manifest: bytes) -> None:
    (folder / "oci-layout").write_bytes(_canonical({"imageLayoutVersion": "1.0.0"}))
    index = {"schemaVersion": 2, "manifests": [_descriptor(MANIFEST_TYPE, manifest)]}
    (folder / "index.json").write_bytes(_canonical(index))


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{_sha256(content)}", "size": len(content)}


def _blob(layout: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or len(value) != 64 or not value.isalnum():
        raise ArtifactRefused(f"{digest[:90]!r} is not a SHA-256 digest.")
    return layout / "blobs" / algorithm / value


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
