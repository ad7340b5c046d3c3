"""Quarantine: cut off, kept, ended, in this order, each on record before the next (M22).

It does not go through the gate. Cutting a container off is always right when it is suspected, and must not wait for a
ledger that an attacker may be keeping busy; the events say afterwards, in the author's own chain, in which order it went.
Ended is what is kept only: without a snapshot the container stays, frozen and cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from tenuto.clock import Clock, micros
from tenuto.errors import NotConfigured
from tenuto.events import DeploymentQuarantined

from .instance import Hosts, Instance
from .network import Attempt
from .rollout import Recording
from .site import Site
from .snapshot import SnapshotFile, memory_of, processes_below

REFS = ("T5", "M22")


class Quarantine:
    """Takes containers out of service for an investigator. Snapshots go to the site's quarantine folder."""

    def __init__(self, site: Site, hosts: Hosts, work: Path, clock: Clock) -> None:
        """`work` is a folder for the file system archive, which is deleted once it is in the snapshot."""
        self._site, self._hosts, self._work, self._clock = site, hosts, work, clock

    def take(self, instance: Instance, record: Recording, attempts: Sequence[Attempt] = ()) -> str:
        """Isolate, keep and end a container; return the SHA-256 of the snapshot file in hex.

        Raises NetworkFailed when it cannot be isolated, EngineFailed when it cannot be frozen or kept; it then stays as far
        as it got, and the same call goes on from there.
        """
        self._hosts.networks.isolate(instance.name)
        record(DeploymentQuarantined, deployment=instance.deployment, stage="isolated", refs=REFS)
        self._hosts.engine.pause(instance.name)
        digest = self._keep(instance, attempts)
        record(DeploymentQuarantined, deployment=instance.deployment, stage="preserved", snapshot=digest, refs=REFS)
        self._hosts.end(instance.name)
        record(DeploymentQuarantined, deployment=instance.deployment, stage="ended", snapshot=digest, refs=REFS)
        return digest

    def _keep(self, instance: Instance, attempts: Sequence[Attempt]) -> str:
        folder = Path(self._site.quarantine)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = folder / f".{instance.name}-{micros(self._clock.now())}"
        with SnapshotFile(scratch, read_investigator(Path(self._site.investigator))) as snapshot:
            self._fill(snapshot, instance, attempts)
            digest = snapshot.close()
        scratch.rename(folder / f"{digest}.snapshot")
        return digest

    def _fill(self, snapshot: SnapshotFile, instance: Instance, attempts: Sequence[Attempt]) -> None:
        engine, found = self._hosts.engine, self._hosts.engine.find(instance.name)
        snapshot.add("instance.json", msgspec.json.encode(instance))
        snapshot.add("connections.json", msgspec.json.encode(attempts or self._hosts.networks.attempts(instance.name)))
        snapshot.add("inspect.json", engine.inspect(instance.name))
        snapshot.add("changed-files.json", engine.changed_files(instance.name))
        if found is not None and found.log and Path(found.log).exists():
            snapshot.add("log.txt", Path(found.log).read_bytes())
        for pid in processes_below(found.pid) if found is not None and found.pid else ():
            self._add_process(snapshot, pid)
        self._add_files(snapshot, instance.name)

    def _add_process(self, snapshot: SnapshotFile, pid: int) -> None:
        for name in ("maps", "cmdline", "environ", "status"):
            snapshot.add(f"process-{pid}-{name}", Path(f"/proc/{pid}/{name}").read_bytes())
        for name, content in memory_of(pid):
            snapshot.add(name, content)

    def _add_files(self, snapshot: SnapshotFile, name: str) -> None:
        archive = self._work / f"{name}.files.tar"
        try:
            self._hosts.engine.export(name, archive)
            snapshot.add_file("files.tar", archive)
        finally:
            archive.unlink(missing_ok=True)


def read_investigator(file: Path) -> bytes:
    """Read an X25519 key of 64 hex digits; raises NotConfigured."""
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise NotConfigured(f"The key {file.name} cannot be read; it has to be 64 hex digits.") from error
    if len(key) != 32:
        raise NotConfigured(f"The key {file.name} has {len(key)} bytes; an X25519 key has 32.")
    return key
