"""Calls that a release may not make, and quarantine: the listener hears nothing, and what is kept is whole (M17, M22, C3)."""

from __future__ import annotations

import hashlib
import json
import socket
import tarfile
from pathlib import Path

import pytest
from tenuto.events import AlertRaised, DeploymentQuarantined, DeploymentRolledBack
from tenuto_agents.attacks.container_range import ALLOWED, ALLOWED_PORT, CONTROL_PORT, ELSEWHERE
from tenuto_agents.attacks.releases import BACKDOOR, HONEST, Listener
from tenuto_agents.containers.network import TABLE, Attempt, Networks, inside
from tenuto_agents.containers.parts import find_part, run_part
from tenuto_agents.containers.rollout import InForce, Suspicious
from tenuto_agents.containers.snapshot import SnapshotRefused, open_snapshot

from tests.containers.stand import SERVICE, Stand, until

MARKER = "planted-in-the-heap-"
KEEPS_A_SECRET = f"SECRET={MARKER}$(( 6 * 7 ))-end; httpd -f -p $PORT -h /release/www & wait\n"


def test_an_unexpected_call_reaches_nobody_and_is_an_alert_and_a_quarantine(stand: Stand) -> None:
    one = stand.put_in_force("1", run="run-0")
    two = stand.put_in_force("2", program=BACKDOOR)
    with Listener(stand.ground, ELSEWHERE, CONTROL_PORT) as c2:
        watch = stand.watching()
        said = until(watch.look)
        assert c2.heard == []
    assert f"{ELSEWHERE} tcp/{CONTROL_PORT}" in said
    alert = stand.world.events(AlertRaised)[0]
    assert (alert.rule, alert.severity, alert.suspect, alert.evidence) == ("egress.unexpected", "critical", two.deployment, (two.started,))
    assert f"sha256:{two.digest}" in stand.world.document(alert).sentence
    assert set(alert.refs) >= {"T5", "M17"}
    assert [event.stage for event in stand.world.events(DeploymentQuarantined)] == ["isolated", "preserved", "ended"]
    assert [event.artifact for event in stand.world.events(DeploymentRolledBack)] == [one.digest]
    assert stand.version() == "1"
    assert watch.look() is None


def test_without_the_allow_list_the_call_goes_through(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control switched off."""
    monkeypatch.setattr("tenuto_agents.containers.network._rules", lambda allowed: f"table inet {TABLE} {{ }}")
    with Listener(stand.ground, ELSEWHERE, CONTROL_PORT) as c2:
        stand.put_in_force("2", program=BACKDOOR)
        until(lambda: c2.heard)
    assert c2.heard[0] == b"stolen\n"


def test_what_is_on_the_allow_list_goes_through_and_is_no_alert(stand: Stand) -> None:
    with Listener(stand.ground, ALLOWED, ALLOWED_PORT) as peer:
        stand.put_in_force("2", program=HONEST)
        until(lambda: peer.heard)
    assert peer.heard[0] == b"stolen\n"
    assert stand.watching().look() is None
    assert stand.world.events(AlertRaised) == []


def test_a_canary_that_calls_out_is_quarantined_and_never_takes_the_work(stand: Stand) -> None:
    stand.put_in_force("1")
    stand.rollout.site = stand.ground.site(**stand.changed, canary_seconds=30.0)
    with Listener(stand.ground, ELSEWHERE, CONTROL_PORT) as c2, pytest.raises(Suspicious) as caught:
        stand.release("2", program=BACKDOOR.replace("call &", "(sleep 1; call) &"))
    assert c2.heard == []
    assert stand.version() == "1"
    assert caught.value.attempts[0].address == ELSEWHERE


def test_a_packet_without_a_port_and_one_over_ipv6_are_seen_too(stand: Stand) -> None:
    networks, name = stand.hosts.networks, f"{SERVICE}-packets"
    networks.create(name, ())
    try:
        for address in (ELSEWHERE, "::ffff:0:1"):
            run_part("ip", "netns", "exec", name, find_part("busybox"), "ping", "-c", "1", "-W", "1", address)
        run_part("ip", "-n", name, "-6", "route", "add", "default", "dev", "lo")
        inside(name, _send_over_ipv6)
        found = networks.attempts(name)
    finally:
        networks.remove(name)
    assert Attempt(ELSEWHERE, "icmp", 0, 1) in found
    assert not any(one.protocol == "ipv6-icmp" for one in found), "what the kernel says for itself is nobody's call"


def _send_over_ipv6() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("::1", 9))


def test_nothing_leaves_or_enters_after_the_isolation(stand: Stand) -> None:
    stand.put_in_force("2", program=HONEST)
    with Listener(stand.ground, ALLOWED, ALLOWED_PORT) as peer:
        until(lambda: peer.heard)
        stand.hosts.networks.isolate(stand.in_force().name)
        until(lambda: dropped(stand) > 0)
        before = len(peer.heard)
        seen = dropped(stand)
        until(lambda: dropped(stand) > seen)
        assert len(peer.heard) == before
    with pytest.raises(OSError):
        stand.version()


def dropped(stand: Stand) -> int:
    """How many packets the isolated container has tried to send."""
    listed = run_part("ip", "netns", "exec", stand.in_force().name, find_part("nft"), "-j", "list", "chain", "inet", TABLE, "output")
    rules = [one["rule"] for one in json.loads(listed.stdout)["nftables"] if "rule" in one]
    return sum(int(part["counter"]["packets"]) for rule in rules for part in rule["expr"] if "counter" in part)


def test_the_snapshot_holds_the_heap_the_files_and_the_calls_and_only_the_investigator_opens_it(stand: Stand, tmp_path: Path) -> None:
    two = stand.put_in_force("2", program="echo dropped > /tmp/loot; " + KEEPS_A_SECRET)
    stand.watching().contain(InForce(two), (Attempt(ELSEWHERE, "tcp", CONTROL_PORT, 3),))
    quarantined = stand.world.events(DeploymentQuarantined)
    (file,) = (tmp_path / "quarantine").glob("*.snapshot")
    content = file.read_bytes()
    assert [event.snapshot for event in quarantined] == [None, file.stem, file.stem]
    assert hashlib.sha256(content).hexdigest() == file.stem
    marker = f"{MARKER}42-end".encode()
    assert marker not in content
    opened = tmp_path / "opened"
    opened.mkdir()
    names = open_snapshot(file, bytes(stand.ground.investigator), opened)
    assert any(marker in (opened / name).read_bytes() for name in names if name.startswith("memory-"))
    listed = {one["name"]: one["sha256"] for one in json.loads((opened / "list.json").read_bytes())}
    assert set(listed) | {"list.json"} == set(names)
    assert all(hashlib.sha256((opened / name).read_bytes()).hexdigest() == digest for name, digest in listed.items())
    with tarfile.open(opened / "files.tar") as tar:
        assert "release/serve.sh" in tar.getnames()
    assert json.loads((opened / "connections.json").read_bytes())[0]["address"] == ELSEWHERE
    assert stand.hosts.engine.find(two.name) is None
    assert stand.rollout.in_force() is None


def test_an_altered_and_a_cut_snapshot_and_another_key_are_refused(stand: Stand, tmp_path: Path) -> None:
    two = stand.put_in_force("1")
    stand.watching().contain(InForce(two))
    (file,) = (tmp_path / "quarantine").glob("*.snapshot")
    content, key = file.read_bytes(), bytes(stand.ground.investigator)
    for damaged in (content[:-1] + bytes([content[-1] ^ 1]), content[: len(content) // 2], content[:200], b"x" + content):
        file.write_bytes(damaged)
        with pytest.raises(SnapshotRefused):
            open_snapshot(file, key, tmp_path)
    file.write_bytes(content)
    with pytest.raises(SnapshotRefused, match="cannot be opened with this key"):
        open_snapshot(file, bytes(32 * [7]), tmp_path)


def test_a_container_that_cannot_be_kept_is_not_ended(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is the control: without a snapshot there is no end."""
    two = stand.put_in_force("1")
    monkeypatch.setattr(stand.hosts.engine, "export", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        stand.watching().contain(InForce(two))
    found = stand.hosts.engine.find(two.name)
    assert found is not None
    assert found.state == "paused"
    assert [event.stage for event in stand.world.events(DeploymentQuarantined)] == ["isolated"]
    monkeypatch.undo()
    stand.watching().contain(InForce(two))
    assert [event.stage for event in stand.world.events(DeploymentQuarantined)] == ["isolated", "isolated", "preserved", "ended"]


def test_an_address_is_free_again_when_its_container_is_gone(stand: Stand) -> None:
    networks: Networks = stand.hosts.networks
    first = networks.create(f"{SERVICE}-a", ())
    second = networks.create(f"{SERVICE}-b", ())
    assert first != second
    networks.remove(f"{SERVICE}-a")
    assert networks.create(f"{SERVICE}-c", ()) == first
    for name in ("b", "c"):
        networks.remove(f"{SERVICE}-{name}")
