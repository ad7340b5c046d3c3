"""The container site: where images live, whose signatures count, what a container may reach. Set up by a person, as one file.

It holds references and no secret: registry credentials, the signing key and the investigator's key stay in files of their
own (M9). Every path in it is relative to the folder of the file.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated

import msgspec
from tenuto.errors import UNREADABLE, NotConfigured

_REGISTRY = re.compile(r"[a-z0-9.-]{1,200}(:[0-9]{1,5})?")
_PREFIX = re.compile(r"[a-z0-9]+(?:[._/-][a-z0-9]+){0,20}")
_EGRESS = re.compile(r"([0-9.]+(?:/[0-9]{1,2})?):([0-9]{1,5})/(tcp|udp)")
_FRONT = re.compile(r"[0-9]{1,3}(?:[.][0-9]{1,3}){3}:[0-9]{1,5}")
_LOOPBACK = re.compile(r"(?:localhost|127\.[0-9.]+)(?::[0-9]+)?")
_FOLDERS = ("gnupg", "lookaside", "advisories", "storage", "quarantine")

Days = Annotated[float, msgspec.Meta(gt=0, le=365)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class Allowed(msgspec.Struct, frozen=True):
    """One destination that a service may call: an IPv4 network, a port, `tcp` or `udp`."""

    network: str
    port: int
    protocol: str


class Site(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A container site, as its file describes it; `load_site` reads it and makes the paths absolute.

    registry: `host:port`, the only one that anything is pulled from. plain_http: without TLS, on loopback only.
    bases: repository prefix of base images -> file with the OpenPGP keys of their publisher. releases: repository prefix
    of our own images; release_keys: the keys whose signatures count on them; signer: the key that signs here, in gnupg.
    lookaside: folder of the detached signatures. credentials: auth file of the registry, none without.
    advisories: cache folder of the scanner with its database; advisories_days_max: how old that may be.
    storage: folder of podman. subnet: addresses for containers, a /30 each. edge: network namespace that the containers
    are linked to, empty for the machine's own. egress: service -> what it may call, such as `10.0.0.9:5432/tcp`.
    fronts: service -> address and port of the edge that lead to what is in force; without one there is no canary traffic.
    canary_seconds: how long a new release takes a part of the work before it takes all. health_seconds: how long any
    release may take until it is well. investigator: file with the X25519 public key that snapshots are encrypted to.
    """

    registry: str
    plain_http: bool = False
    bases: dict[str, str]
    releases: str = "releases"
    release_keys: str
    signer: str
    gnupg: str = "gnupg"
    lookaside: str = "lookaside"
    credentials: str = ""
    scanner: str = "trivy"
    advisories: str = "advisories"
    advisories_days_max: Days = 7.0
    storage: str = "storage"
    subnet: str = "10.231.0.0/24"
    edge: str = ""
    egress: dict[str, tuple[str, ...]] = {}
    fronts: dict[str, str] = {}
    canary_seconds: Seconds = 60.0
    health_seconds: Seconds = 15.0
    quarantine: str = "quarantine"
    investigator: str

    def allowed(self, service: str) -> tuple[Allowed, ...]:
        """Return what `service` may call; nothing, where nothing is said."""
        return tuple(parse_allowed(one) for one in self.egress.get(service, ()))


def load_site(file: Path) -> Site:
    """Read a site; raises NotConfigured, naming the file and the field."""
    try:
        site = msgspec.json.decode(file.read_bytes(), type=Site)
    except OSError as error:
        raise NotConfigured(f"The container site {file} cannot be read ({error.strerror}).") from error
    except UNREADABLE as error:
        raise NotConfigured(f"The container site {file} is not valid: {error}.") from error
    return _checked(file, _absolute(site, file.resolve().parent))


def parse_allowed(text: str) -> Allowed:
    """Read a destination such as `10.0.0.9:5432/tcp` or `10.0.0.0/24:53/udp`; raises NotConfigured."""
    found = _EGRESS.fullmatch(text)
    try:
        if found is None or not 0 < int(found[2]) <= 65_535:
            raise ValueError("it is not NETWORK:PORT/tcp or NETWORK:PORT/udp")
        return Allowed(str(ipaddress.IPv4Network(found[1])), int(found[2]), found[3])
    except ValueError as error:
        raise NotConfigured(f"The destination {text!r:.80} in `egress` cannot be used: {error}.") from error


def _absolute(site: Site, folder: Path) -> Site:
    paths = {name: str(folder / getattr(site, name)) for name in (*_FOLDERS, "release_keys", "investigator")}
    if site.credentials:
        paths["credentials"] = str(folder / site.credentials)
    return msgspec.structs.replace(site, bases={name: str(folder / key) for name, key in site.bases.items()}, **paths)


def _checked(file: Path, site: Site) -> Site:
    if not _REGISTRY.fullmatch(site.registry):
        raise NotConfigured(f"{file}: the registry {site.registry!r:.80} is not HOST or HOST:PORT.")
    if site.plain_http and not _LOOPBACK.fullmatch(site.registry):
        raise NotConfigured(f"{file}: plain_http is for a registry on loopback; {site.registry} needs TLS.")
    for prefix in (site.releases, *site.bases):
        if not _PREFIX.fullmatch(prefix):
            raise NotConfigured(f"{file}: {prefix!r:.80} is not a repository prefix.")
    for key in (site.release_keys, *site.bases.values(), site.investigator):
        if not Path(key).is_file():
            raise NotConfigured(f"{file}: the key file {Path(key).name} is not there.")
    for front in site.fronts.values():
        if not _FRONT.fullmatch(front):
            raise NotConfigured(f"{file}: the front {front!r:.80} is not ADDRESS:PORT.")
    for service in site.egress:
        site.allowed(service)
    try:
        ipaddress.IPv4Network(site.subnet)
    except ValueError as error:
        raise NotConfigured(f"{file}: the subnet is not valid: {error}.") from error
    return site
