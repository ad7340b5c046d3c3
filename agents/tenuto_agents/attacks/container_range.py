"""A container site of the red team's own: a real registry, real OpenPGP keys, a signed base image, and a world to call.

Nothing of the site under attack is used, and nothing of the machine's network: the world is a network namespace with the
addresses that a container might call. Everything lies in one folder and ends with the block, containers included.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import socket
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nacl.public import PrivateKey
from tenuto.embedded.child import LOOPBACK, Child, Plan, free_port
from tenuto.errors import NotConfigured, TenutoError

from ..artifact import Artifact, build_artifact
from ..containers.image import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, Image
from ..containers.network import inside
from ..containers.parts import SEARCH_PATH, find_part, missing_parts, run_part
from ..containers.site import Site, load_site
from ..git import Repository, find_git, git_environment
from ..processes import ToolMissing
from .scenario import Lacking

SERVICE = "shop"
RELEASE_KEY, BASE_KEY, STRANGER = "release@shop.example", "base@images.example", "stranger@elsewhere.example"
ALLOWED, ELSEWHERE = "10.55.0.9", "10.55.0.66"
ALLOWED_PORT, CONTROL_PORT = 9000, 4444
FRONT = f"{ALLOWED}:80"
HEALTHY = "exec httpd -f -p $PORT -h /release/www\n"
START_SECONDS_MAX = 90.0
_BUSYBOX = Path("/bin/busybox")
_APPLETS = ("sh", "httpd", "wget", "nc", "sleep", "cat", "echo", "ping", "grep", "kill", "mkdir")


class ContainerRange:
    """A site with everything that it needs; `with` starts it, and raises Lacking where this machine cannot."""

    def __init__(self, folder: Path) -> None:
        """`folder` is empty or missing."""
        self.folder, self.edge = folder, f"tenuto-{os.urandom(4).hex()}"
        self.registry = f"{LOOPBACK}:{free_port()}"
        self.investigator = PrivateKey.generate()
        self.base = ""
        self.images: dict[str, Image] = {}
        self._child: Child | None = None
        self._keys: Path | None = None

    def __enter__(self) -> Self:
        """Start it."""
        demand_container_parts()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start_registry()
            self._make_world()
            self._make_keys()
            self._write_site()
            self.base = self.push_base({})
        except TenutoError as error:
            self.close()
            raise Lacking(f"No container range could be started here: {error}") from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End all of it."""
        self.close()

    def close(self) -> None:
        """End containers, world, registry and key agent; harmless when repeated."""
        self._end_containers()
        run_part("ip", "netns", "delete", self.edge)
        for mount in ("graph/overlay", "graph"):
            run_part("umount", str(self.folder / "storage" / mount))
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._keys is not None:
            run_part("gpgconf", "--kill", "all", environment=self._environment())
            shutil.rmtree(self._keys, ignore_errors=True)
            self._keys = None

    def site(self, **changed: Any) -> Site:
        """The site, with some of its file changed as an operator would change it."""
        file = self.folder / f"site-{hashlib.sha256(repr(changed).encode()).hexdigest()[:8]}.json"
        file.write_text(json.dumps(json.loads((self.folder / "site.json").read_text(encoding="utf-8")) | changed), encoding="utf-8")
        return load_site(file)

    def artifact(self, version: str, **more: str) -> tuple[Artifact, Repository]:
        """A release of the service. `program`, `health` and `base` replace what it runs, says of itself and is built on."""
        program, health = more.pop("program", HEALTHY), more.pop("health", json.dumps({"version": version}))
        base = more.pop("base", f"FROM {self.base}\n")
        files = {
            "serve.sh": program, "www/health": health, "deploy/Dockerfile": base, **more,
            "deploy/service.json": json.dumps({"name": SERVICE, "version": version, "entry": "serve.sh"}),
        }  # fmt: skip
        folder = self.folder / f"repo-{os.urandom(4).hex()}"
        repository = _commit(folder, files)
        return build_artifact(repository, repository.resolve("HEAD")), repository

    def push_base(self, files: dict[str, bytes], *, repository: str = "base/busybox", key: str | None = BASE_KEY) -> str:
        """Push a base image with busybox and `files`, signed by `key`; return it pinned by digest."""
        layout = self.folder / f"base-{os.urandom(4).hex()}"
        digest = write_layout(layout, [_busybox_layer(), *([_layer(files)] if files else [])])
        self.copy(layout, f"{repository}@sha256:{digest}", key=key)
        return f"{self.registry}/{repository}@sha256:{digest}"

    def copy(self, layout: Path, name: str, *, key: str | None) -> None:
        """Push a layout without asking any policy, as somebody with write access to the registry can."""
        signed = ["--sign-by", key] if key else []
        settings = ["--insecure-policy", "--registries.d", str(self.folder / "registries.d")]
        options = ["--quiet", "--preserve-digests", "--dest-tls-verify=false", *signed]
        self.skopeo(*settings, "copy", *options, f"oci:{layout}", f"docker://{self.registry}/{name}")

    def skopeo(self, *arguments: str) -> str:
        """Run skopeo with the range's keys and return what it printed; raises NotConfigured when it fails."""
        return self._run("skopeo", *arguments)

    def signature(self, name: str, digest: str) -> Path:
        """Where the lookaside folder keeps the signature of an image."""
        return self.folder / "lookaside" / f"{name}@sha256={digest}" / "signature-1"

    def blob(self, digest: str) -> Path:
        """Where the registry keeps a blob."""
        return self.folder / "data" / "docker" / "registry" / "v2" / "blobs" / "sha256" / digest[:2] / digest / "data"

    def listen(self, address: str, port: int) -> socket.socket:
        """Return a listening socket in the world, at one of its addresses."""
        return inside(self.edge, lambda: socket.create_server((address, port)))

    def _start_registry(self) -> None:
        configuration = {
            "version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
            "http": {"addr": self.registry, "secret": "of this range only"},
        }  # fmt: skip
        file = self.folder / "registry.yml"
        file.write_text(json.dumps(configuration), encoding="utf-8")  # JSON is YAML
        self._child = Child(Plan([find_part("docker-registry"), "serve", str(file)], self.folder / "registry.log"))
        self._child.wait_until(self._answers, START_SECONDS_MAX)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.registry}/v2/", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _make_world(self) -> None:
        run_part("ip", "netns", "add", self.edge)
        for address in ("127.0.0.1/8", f"{ALLOWED}/32", f"{ELSEWHERE}/32"):
            run_part("ip", "-n", self.edge, "address", "add", address, "dev", "lo")
        run_part("ip", "-n", self.edge, "link", "set", "lo", "up")

    def _make_keys(self) -> None:
        # The key agent listens on a socket in there, and a socket's path has at most 107 bytes: the scratch folder may lie too deep.
        self._keys = Path(tempfile.mkdtemp(prefix="range-"))
        quiet = ("--batch", "--quiet", "--pinentry-mode", "loopback")
        for name in (RELEASE_KEY, BASE_KEY, STRANGER):
            self._run("gpg", *quiet, "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "0")
            (self.folder / f"{name}.asc").write_text(self._run("gpg", *quiet, "--armor", "--export", name), encoding="ascii")
        (self.folder / "investigator.pub").write_text(bytes(self.investigator.public_key).hex(), encoding="ascii")

    def _write_site(self) -> None:
        folder, at = self.folder / "registries.d", (self.folder / "lookaside").as_uri()
        folder.mkdir()
        _write_json(folder / "site.yaml", {"default-docker": {"sigstore": at, "sigstore-staging": at}})
        site = {
            "registry": self.registry, "plain_http": True, "bases": {"base": f"{BASE_KEY}.asc"}, "release_keys": f"{RELEASE_KEY}.asc",
            "signer": RELEASE_KEY, "gnupg": str(self._keys), "edge": self.edge, "egress": {SERVICE: [f"{ALLOWED}:{ALLOWED_PORT}/tcp"]}, "canary_seconds": 0.2,
            "fronts": {SERVICE: FRONT}, "health_seconds": 60.0, "investigator": "investigator.pub",
        }  # fmt: skip
        _write_json(self.folder / "site.json", site)

    def _run(self, *argv: str) -> str:
        ended = run_part(*argv, folder=self.folder, environment=self._environment())
        if ended.code != 0:
            raise NotConfigured(f"{argv[0]} failed on the container range: {ended.complaint()}")
        return ended.stdout.decode("utf-8", errors="replace")

    def _environment(self) -> dict[str, str]:
        home = str(self.folder)
        return {"PATH": SEARCH_PATH, "GNUPGHOME": str(self._keys or self.folder), "HOME": home, "XDG_RUNTIME_DIR": home}

    def _end_containers(self) -> None:
        from ..containers.engine import Engine

        work = self.folder / "ending"
        if not (self.folder / "storage" / "graph").is_dir():
            return
        work.mkdir(exist_ok=True)
        (work / "registries.conf").write_text("unqualified-search-registries = []\n", encoding="utf-8")
        engine = Engine(self.folder / "storage", work)
        for name in engine.names(SERVICE):
            engine.remove(name)
            run_part("ip", "netns", "delete", name)


def demand_container_parts() -> None:
    """Raises Lacking, naming what this machine has not for a container range."""
    lacking = [found] if (found := missing_parts()) else []
    try:
        find_part("docker-registry")
    except ToolMissing as missing:
        lacking.append(str(missing))
    if not _BUSYBOX.exists():
        lacking.append("A static busybox is not on this machine (package busybox-static).")
    if lacking:
        raise Lacking(*lacking)


def write_layout(folder: Path, layers: list[bytes]) -> str:
    """Write an image whose entry point is a shell; return the digest of its manifest in hex."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(kind: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    placed = [put(LAYER_TYPE, layer) for layer in layers]
    config = {
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/bin/sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [one["digest"] for one in placed]},
    }  # fmt: skip
    manifest = {
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": put(CONFIG_TYPE, json.dumps(config).encode()), "layers": placed,
    }  # fmt: skip
    described = put(MANIFEST_TYPE, json.dumps(manifest).encode())
    _write_json(folder / "oci-layout", {"imageLayoutVersion": "1.0.0"})
    _write_json(folder / "index.json", {"schemaVersion": 2, "manifests": [described]})
    return str(described["digest"]).removeprefix("sha256:")


def _commit(folder: Path, files: dict[str, str]) -> Repository:
    """Make a repository whose second commit brings `files`."""
    folder.mkdir(parents=True)
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "Range"), ("EMAIL", "range@shop.example"), ("DATE", "2026-01-01T00:00:00Z"))}  # fmt: skip
    environment = {name: value for name, value in git_environment().items() if name != "GIT_INDEX_FILE"} | who

    def git(*arguments: str) -> None:
        ended = run_part(find_git(), "-c", "core.hooksPath=/dev/null", *arguments, folder=folder, environment=environment)
        if ended.code != 0:
            raise NotConfigured(f"git failed on the container range: {ended.complaint()}")

    git("init", "--quiet")
    for name, content in {"README.md": "The red team's range.\n", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    git("add", "README.md")
    git("commit", "--quiet", "--no-verify", "-m", "Begin")
    git("add", "--all")
    git("commit", "--quiet", "--no-verify", "-m", "A release")
    return Repository(folder)


def _busybox_layer() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        program = tarfile.TarInfo("bin/busybox")
        content = _BUSYBOX.read_bytes()
        program.size, program.mode = len(content), 0o755
        tar.addfile(program, io.BytesIO(content))
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return packed.getvalue()


def _layer(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")
