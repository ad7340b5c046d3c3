"""The registry: images go out signed and come back only by digest, with a signature that counts (M15).

Whose signature counts for which repository stands in one policy, and what it does not name is rejected. It is enforced by
skopeo on every copy, into podman's storage too; a signature names repository and digest, so that of another image or of an
older release is none. Signatures are detached OpenPGP ones in the lookaside folder (containers-signature(5)).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tenuto.errors import Refused

from ..processes import Ended
from .containerfile import BaseImage
from .image import Image
from .parts import run_part
from .site import Site

COPY_SECONDS_MAX = 120.0


class ImageRefused(Refused):
    """The image is not the signed one that its digest names, or it could not be had at all; nothing runs."""

    reason = "image"


class Registry:
    """The one registry of a site. `work` is a folder of this agent's own."""

    def __init__(self, site: Site, work: Path) -> None:
        """Writes the policy files into `work`; nothing is contacted yet."""
        self._site, self._work = site, work
        for folder in (work / "bases", work / "registries.d", Path(site.storage), Path(site.lookaside)):
            folder.mkdir(parents=True, exist_ok=True)
        _write(work / "policy.json", pull_policy(site))
        _write(work / "push.json", _push_policy(work))
        lookaside = {"sigstore": Path(site.lookaside).as_uri(), "sigstore-staging": Path(site.lookaside).as_uri()}
        _write(work / "registries.d" / "site.yaml", {"docker": {site.registry: lookaside}})  # JSON is YAML
        (work / "registries.conf").write_text("unqualified-search-registries = []\n", encoding="utf-8")

    def release_name(self, service: str) -> str:
        """The repository of a service's releases, such as `registry:5000/releases/shop`."""
        return f"{self._site.registry}/{self._site.releases}/{service}"

    def base_layout(self, base: BaseImage) -> Path:
        """Return the layout of a base image, pulled with its publisher's signature; raises ImageRefused."""
        layout = self._work / "bases" / base.digest
        scratch = self._work / "bases" / f".{base.digest}"
        shutil.rmtree(scratch, ignore_errors=True)
        # Pulled every time: a key that was withdrawn from the policy must count at once, and blobs on disk may have been altered.
        self._copy("policy.json", f"docker://{base.reference}", f"oci:{scratch}", "--remove-signatures", what=base.reference)
        shutil.rmtree(layout, ignore_errors=True)
        scratch.rename(layout)
        return layout

    def push(self, image: Image, service: str) -> None:
        """Put a built image into the registry under its digest, signed by the key of this site; raises ImageRefused."""
        name = f"{self.release_name(service)}@sha256:{image.digest}"
        self._copy("push.json", f"oci:{image.layout}", f"docker://{name}", "--sign-by", self._site.signer, what=name)

    def pull(self, service: str, digest: str) -> str:
        """Bring a release into podman's storage, by digest and with a signature that counts; return its reference.

        Raises ImageRefused: tag instead of digest, no signature, another key, another image's signature, altered bytes.
        """
        name = f"{self.release_name(service)}@sha256:{digest}"
        storage = f"containers-storage:[{storage_driver()}@{self._site.storage}/graph+{self._site.storage}/run]{name}"
        self._copy("policy.json", f"docker://{name}", storage, what=name)
        return name

    def _copy(self, policy: str, source: str, target: str, *options: str, what: str) -> None:
        ended = self._skopeo(policy, source, target, *options)
        if ended.code != 0:
            raise ImageRefused(f"The image {what} is refused: {_reason(ended)}")

    def _skopeo(self, policy: str, source: str, target: str, *options: str) -> Ended:
        site, copy = self._site, ["copy", "--quiet", "--preserve-digests", *options]
        if site.plain_http:
            copy += ["--src-tls-verify=false", "--dest-tls-verify=false"]
        if site.credentials:
            copy += ["--authfile", site.credentials]
        settings = ("--policy", str(self._work / policy), "--registries.d", str(self._work / "registries.d"))
        environment = {
            "GNUPGHOME": site.gnupg, "HOME": str(self._work), "CONTAINERS_REGISTRIES_CONF": str(self._work / "registries.conf"),
            "XDG_RUNTIME_DIR": str(self._work),
        }  # fmt: skip
        argv = ("skopeo", *settings, *copy, source, target)
        return run_part(*argv, folder=self._work, seconds=COPY_SECONDS_MAX, environment=environment)


def storage_driver() -> str:
    """The storage driver that podman and skopeo share."""
    return "overlay"


def pull_policy(site: Site) -> dict[str, Any]:
    """Return the policy that everything is pulled under (containers-policy.json(5)): signed for its repository, or rejected."""
    keys = {**site.bases, site.releases: site.release_keys}
    trusted = {f"{site.registry}/{prefix}": [_signed_by(key)] for prefix, key in keys.items()}
    return {"default": [{"type": "reject"}], "transports": {"docker": trusted}}


def _signed_by(keys: str) -> dict[str, Any]:
    return {"type": "signedBy", "keyType": "GPGKeys", "keyPath": keys, "signedIdentity": {"type": "matchRepository"}}


def _push_policy(work: Path) -> dict[str, Any]:
    """What was built here needs no signature yet; nothing else may be pushed."""
    return {"default": [{"type": "reject"}], "transports": {"oci": {str(work): [{"type": "insecureAcceptAnything"}]}}}


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")


def _reason(ended: Ended) -> str:
    """The last message of skopeo, which it writes as `time=... level=fatal msg="..."`."""
    text = ended.complaint()
    return text.rpartition('msg="')[2].rstrip('"\n') or f"skopeo ended with {ended.code}."
