"""What a container may reach: a network namespace of its own, an allow-list in its kernel, and a record of all else (M17, M22).

The rules are in force before the container starts and it has no capability to change them. What is not allowed is dropped
and entered in a set of the kernel, destination by destination, so a burst cannot push a call out of a log. `isolate` takes
the allow-list away too. The front is one address of the edge that leads to what is current, or in parts to a canary.
"""

from __future__ import annotations

import ctypes
import hashlib
import ipaddress
import json
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tenuto.errors import TenutoError

from ..processes import Ended
from .parts import find_part, run_part
from .site import Allowed

TABLE = "tenuto"
SEEN_MAX = 4096
CLONE_NEWNET = 0x40000000
NAMESPACES = Path("/run/netns")
Value = TypeVar("Value")


class NetworkFailed(TenutoError):
    """The kernel did not do what was asked about a network; nothing runs in it."""


@dataclass(frozen=True, slots=True, order=True)
class Attempt:
    """A destination that a container called and may not: IP address, protocol, port (0 where it has none), packets."""

    address: str
    protocol: str
    port: int
    packets: int


class Networks:
    """The namespaces of one site. edge: the namespace that containers are linked to, empty for the machine's own."""

    def __init__(self, edge: str, subnet: str) -> None:
        """Nothing is made yet."""
        self._edge, self._subnet = edge, ipaddress.IPv4Network(subnet)

    def create(self, name: str, allowed: Sequence[Allowed], *, linked: bool = True) -> str:
        """Make the namespace of container `name` with its rules; return its address, empty when it is not linked.

        Without a link it reaches nothing but itself. Raises NetworkFailed; then nothing of it is left.
        """
        self.remove(name)
        _ip("netns", "add", name)
        try:
            _ip("-n", name, "link", "set", "lo", "up")
            _nft(name, _rules(allowed))
            return self._link(name) if linked else ""
        except NetworkFailed:
            self.remove(name)
            raise

    def exists(self, name: str) -> bool:
        """Whether the namespace is there."""
        return (NAMESPACES / name).exists()

    def remove(self, name: str) -> None:
        """Take the namespace and its link away; harmless when it is gone."""
        if self.exists(name):
            # The link first: a namespace that a process still holds would keep it, and its address, for ever.
            run_part("ip", "-n", name, "link", "delete", _inner(name))
            run_part("ip", "netns", "delete", name)

    def isolate(self, name: str) -> None:
        """Drop every packet into and out of the namespace, established connections and loopback too; raises NetworkFailed."""
        _nft(name, _CUT)

    def attempts(self, name: str) -> tuple[Attempt, ...]:
        """Return what the container called without being allowed to, since it started; raises NetworkFailed."""
        listed = run_part(*_entering(name), find_part("nft"), "-j", "list", "table", "inet", TABLE)
        if listed.code != 0:
            raise NetworkFailed(f"The connections of {name} cannot be read: {listed.complaint()}")
        sets = [entry["set"] for entry in json.loads(listed.stdout)["nftables"] if "set" in entry]
        return tuple(sorted(_attempt(one["elem"]) for one_set in sets if one_set["name"] in _SETS for one in one_set.get("elem", ())))

    def route(self, service: str, front: str, current: str, canary: str | None, tenths: int = 1) -> None:
        """Lead `front` (address and port of the edge) to `current`, and `tenths` of ten connections to `canary`.

        current, canary: address and port; an empty `current` takes the front down. One transaction: there is no moment
        without an answer.
        """
        table = f"{TABLE}_{hashlib.sha256(service.encode()).hexdigest()[:8]}"
        rules = f"table ip {table}\ndelete table ip {table}\n"
        if current:
            address, _, port = front.partition(":")
            rules += _front(table, f"ip daddr {address} tcp dport {port}", _choice(current, canary, tenths))
        _nft(self._edge, rules)

    def _link(self, name: str) -> str:
        outer, network = f"t{_short(name)}o", self._free()
        host, guest = network[1], network[2]
        _ip(*_in(self._edge), "link", "add", outer, "type", "veth", "peer", "name", _inner(name), "netns", name)
        _ip(*_in(self._edge), "address", "add", f"{host}/30", "dev", outer)
        _ip(*_in(self._edge), "link", "set", outer, "up")
        _ip("-n", name, "address", "add", f"{guest}/30", "dev", _inner(name))
        _ip("-n", name, "link", "set", _inner(name), "up")
        _ip("-n", name, "route", "add", "default", "via", str(host))
        return str(guest)

    def _free(self) -> ipaddress.IPv4Network:
        shown = json.loads(_ip(*_in(self._edge), "-json", "address", "show").stdout)
        taken = {info["local"] for link in shown for info in link.get("addr_info", ()) if info["family"] == "inet"}
        for network in self._subnet.subnets(new_prefix=30):
            if str(network[1]) not in taken:
                return network
        raise NetworkFailed(f"All addresses of {self._subnet} are taken. Give the site a larger subnet.")


def inside(name: str, work: Callable[[], Value]) -> Value:
    """Do `work` with this process's next sockets in the namespace `name`; raises NetworkFailed, and what `work` raises.

    A thread of its own enters and ends there: a namespace belongs to a thread (setns(2)), and a socket to where it was made.
    """
    def enter() -> Value:
        _enter(name)
        return work()

    with ThreadPoolExecutor(1, thread_name_prefix=f"inside {name}") as own:
        return own.submit(enter).result()


def connect_inside(name: str, port: int, seconds: float) -> socket.socket:
    """Connect to a port of the namespace's own loopback; raises OSError."""
    return inside(name, lambda: socket.create_connection(("127.0.0.1", port), timeout=seconds))


def _enter(name: str) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open(NAMESPACES / name, os.O_RDONLY)
    except FileNotFoundError:
        raise NetworkFailed(f"The network namespace {name} is not there.") from None
    try:
        if library.setns(descriptor, CLONE_NEWNET) != 0:
            raise NetworkFailed(f"The network namespace {name} cannot be entered: {os.strerror(ctypes.get_errno())}.")
    finally:
        os.close(descriptor)


_SETS = {"seen": "ipv4_addr . inet_proto . inet_service", "other": "ipv4_addr . inet_proto",
         "seen6": "ipv6_addr . inet_proto . inet_service", "other6": "ipv6_addr . inet_proto"}  # fmt: skip

# `meta l4proto` is read before the port, since a packet without one matches no rule that reads it.
_RULES = f"""
table inet {TABLE} {{
  set allowed {{ type ipv4_addr . inet_proto . inet_service; flags interval; %(allowed)s }}
  %(sets)s
  chain input {{ type filter hook input priority 0; policy accept; }}
  chain output {{
    type filter hook output priority 0; policy drop;
    oifname "lo" accept
    ct state established,related accept
    meta nfproto ipv4 meta l4proto {{ tcp, udp }} ip daddr . meta l4proto . th dport @allowed accept
    meta nfproto ipv4 meta l4proto {{ tcp, udp }} update @seen {{ ip daddr . meta l4proto . th dport counter }} drop
    meta nfproto ipv6 meta l4proto {{ tcp, udp }} update @seen6 {{ ip6 daddr . meta l4proto . th dport counter }} drop
    meta nfproto ipv6 meta l4proto icmpv6 icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, mld2-listener-report }} drop
    meta nfproto ipv4 update @other {{ ip daddr . meta l4proto counter }} drop
    meta nfproto ipv6 update @other6 {{ ip6 daddr . meta l4proto counter }} drop
  }}
}}
"""
_CUT = f"""
flush chain inet {TABLE} input
flush chain inet {TABLE} output
chain inet {TABLE} input {{ type filter hook input priority 0; policy drop; }}
add rule inet {TABLE} input counter drop
add rule inet {TABLE} output counter drop
"""


def _rules(allowed: Sequence[Allowed]) -> str:
    elements = ", ".join(f"{one.network} . {one.protocol} . {one.port}" for one in allowed)
    sets = "\n  ".join(f"set {name} {{ type {kind}; size {SEEN_MAX}; flags dynamic; }}" for name, kind in _SETS.items())
    return _RULES % {"allowed": f"elements = {{ {elements} }};" if elements else "", "sets": sets}


def _choice(current: str, canary: str | None, tenths: int) -> str:
    address, _, port = current.partition(":")
    if canary is None:
        return f"dnat to {address}:{port}"
    other = canary.partition(":")[0]
    return f"dnat to numgen random mod 10 map {{ 0-{tenths - 1} : {other}, {tenths}-9 : {address} }}:{port}"


def _front(table: str, match: str, verdict: str) -> str:
    chains = "".join(
        f"  chain {hook} {{\n    type nat hook {hook} priority -100;\n    {match} {verdict}\n  }}\n" for hook in ("prerouting", "output")
    )
    return f"table ip {table} {{\n{chains}}}\n"


def _attempt(element: dict[str, Any]) -> Attempt:
    address, protocol, *port = element["val"]["concat"]
    return Attempt(str(address), str(protocol), int(port[0]) if port else 0, int(element["counter"]["packets"]))


def _nft(name: str, rules: str) -> Ended:
    """Load rules in one transaction: all of them or none."""
    ended = run_part(*_entering(name), find_part("nft"), rules)
    if ended.code != 0:
        raise NetworkFailed(f"The packet filter of {name or 'this machine'} was not set: {ended.complaint()}")
    return ended


def _ip(*arguments: str) -> Ended:
    ended = run_part("ip", *arguments)
    if ended.code != 0:
        raise NetworkFailed(f"`ip {' '.join(arguments)}` failed: {ended.complaint()}")
    return ended


def _in(namespace: str) -> tuple[str, ...]:
    return ("-n", namespace) if namespace else ()


def _entering(namespace: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", namespace) if namespace else ("env",)


def _inner(name: str) -> str:
    return f"t{_short(name)}i"


def _short(name: str) -> str:
    """Interface names have at most 15 characters."""
    return hashlib.sha256(name.encode()).hexdigest()[:10]
