"""What `--to` means: a file, `-`, or a syslog receiver."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from tenuto.errors import NotConfigured

from .sinks import FileSink, PipeSink, Sink
from .syslog import TCP_PORT, TLS_PORT, SyslogSink, tls_context

PIPE = "-"
TLS, TCP = "syslog+tls", "syslog+tcp"
TLS_PARAMETERS = ("ca", "cert", "key")


def destination_name(to: str) -> str:
    """Return the name under which a cursor remembers a destination: without files and credentials, absolute."""
    if to == PIPE or "://" not in to:
        return to if to == PIPE else str(Path(to).absolute())
    parts = urlsplit(to)
    return f"{parts.scheme}://{parts.hostname}:{_port(parts)}"


def open_sink(to: str, *, hostname: str, say: Callable[[str], None]) -> Sink:
    """Return the sink; raises NotConfigured for a destination that is not understood or not safe."""
    if to == PIPE:
        return PipeSink()
    if "://" not in to:
        return FileSink(Path(to), say)
    parts = urlsplit(to)
    if parts.scheme not in (TLS, TCP):
        raise NotConfigured(f"--to {to} is not understood. Give a file, -, or {TLS}://HOST:PORT?ca=FILE.")
    if not parts.hostname or parts.path not in ("", "/") or parts.username is not None or parts.fragment:
        raise NotConfigured(f"--to {to} is not {parts.scheme}://HOST:PORT and parameters.")
    parameters = _parameters(to, parts)
    port = _port(parts)
    if parts.scheme == TCP:
        _demand_this_machine(parts.hostname)
        return SyslogSink(parts.hostname, port, None, hostname=hostname)
    try:
        context = tls_context(parameters.get("ca"), parameters.get("cert"), parameters.get("key"))
    except OSError as error:
        raise NotConfigured(f"The certificate files of --to {to} cannot be used: {error}.") from error
    return SyslogSink(parts.hostname, port, context, hostname=hostname)


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or (TLS_PORT if parts.scheme == TLS else TCP_PORT)
    except ValueError as error:
        raise NotConfigured(f"--to {parts.geturl()} names no port between 1 and 65535.") from error


def _parameters(to: str, parts: SplitResult) -> dict[str, str]:
    allowed = TLS_PARAMETERS if parts.scheme == TLS else ()
    found = parse_qs(parts.query, keep_blank_values=True)
    for name, values in found.items():
        if name not in allowed or len(values) != 1 or not values[0]:
            known = ", ".join(allowed) or "none"
            raise NotConfigured(f"The parameter {name!r} of --to {to} is not understood. Known, once each: {known}.")
    if "key" in found and "cert" not in found:
        raise NotConfigured(f"--to {to} names a key without the certificate that it belongs to; add cert=FILE.")
    return {name: values[0] for name, values in found.items()}


def _demand_this_machine(host: str) -> None:
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise NotConfigured(f"{TCP} sends in the clear, which is for a relay on this machine only. Use {TLS}://{host}.")
