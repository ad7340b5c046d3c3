"""Who a process is towards Kafka, and how it proves it: over TLS by a password (SCRAM) or by a certificate.

The password stays in a file that nobody else on the machine may read; it is read when a connection is made and kept
nowhere. What does not fit together is refused before anything connects: a password that would travel in the clear, a
certificate that nobody asks for, a broker that nobody checks.
"""

from __future__ import annotations

import ipaddress
import ssl
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import NotConfigured
from ..settings import PREFIX

Security = Literal["plaintext", "ssl", "sasl_ssl", "sasl_plaintext"]
Mechanism = Literal["SCRAM-SHA-512"]
PASSWORD_BYTES_MAX = 1024
ANYBODY = "anybody"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """How to connect, and as whom. Holds the name of the password's file, never the password.

    security: `plaintext` for a broker that knows nobody; `ssl` with a certificate; `sasl_ssl` with a password over TLS;
    `sasl_plaintext` the same without TLS, on loopback only.
    """

    security: Security = "plaintext"
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    mechanism: Mechanism = "SCRAM-SHA-512"
    user: str | None = None
    password_file: Path | None = None

    def __post_init__(self) -> None:
        """Raise NotConfigured, naming the setting and the remedy, for a combination that would not protect."""
        tls, sasl = self.security in ("ssl", "sasl_ssl"), self.security.startswith("sasl_")
        for name, wanted in (("ca", tls), ("user", sasl), ("password_file", sasl)):
            self._demand(name, wanted)
        for name in ("cert", "key"):
            self._demand(name, self.security == "ssl")

    @property
    def principal(self) -> str:
        """The account as a person would name it."""
        if self.user is not None:
            return self.user
        return ANYBODY if self.cert is None else f"the certificate {self.cert.name}"

    def demand_safe(self, servers: Sequence[str]) -> None:
        """Raise NotConfigured when passwords would leave this machine without TLS."""
        away = [server for server in servers if not _is_loopback(server)]
        if self.security == "sasl_plaintext" and away:
            raise NotConfigured(
                f"{PREFIX}KAFKA_SECURITY=sasl_plaintext is for loopback only, and {away[0]} is elsewhere. Set sasl_ssl."
            )

    def client_settings(self) -> Mapping[str, object]:
        """Return what kafka-python is told; reads the files. Raises NotConfigured when one is missing, open or damaged."""
        settings: dict[str, object] = {"security_protocol": self.security.upper()}
        if self.ca is not None:
            settings["ssl_context"] = self._tls(self.ca)
        if self.user is not None and self.password_file is not None:
            settings["sasl_mechanism"] = self.mechanism
            settings["sasl_plain_username"] = self.user
            settings["sasl_plain_password"] = load_password(self.password_file)
        return settings

    def _demand(self, name: str, wanted: bool) -> None:
        given = getattr(self, name) is not None
        setting = f"{PREFIX}KAFKA_{name.upper()}"
        if wanted and not given:
            raise NotConfigured(f"{PREFIX}KAFKA_SECURITY={self.security} needs {setting}. Set it.")
        if given and not wanted:
            raise NotConfigured(
                f"{setting} is set and {PREFIX}KAFKA_SECURITY={self.security} does not use it. Unset it, or choose the "
                "security it belongs to."
            )

    def _tls(self, ca: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(ca)
        except (OSError, ssl.SSLError) as error:
            raise NotConfigured(f"{PREFIX}KAFKA_CA={ca} is no file of PEM certificates: {error}.") from error
        if self.cert is not None and self.key is not None:
            _demand_private(self.key)
            try:
                # An encrypted key would ask at the terminal; a process that nobody watches has none to ask at.
                context.load_cert_chain(self.cert, self.key, password="")
            except (OSError, ssl.SSLError) as error:
                raise NotConfigured(f"The certificate {self.cert} and its key {self.key} do not load: {error}.") from error
        return context


def load_password(path: Path) -> str:
    """Return the password that is the file's first and only line; raises NotConfigured with the remedy."""
    _demand_private(path)
    try:
        password = path.read_text("utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NotConfigured(f"The password file {path} cannot be read: {error}.") from error
    if not password or "\n" in password or len(password.encode()) > PASSWORD_BYTES_MAX:
        raise NotConfigured(f"The password file {path} should hold one line of 1 to {PASSWORD_BYTES_MAX} bytes.")
    return password


def _demand_private(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise NotConfigured(f"{path} cannot be read: {error.strerror}.") from error
    if mode & _OTHERS:
        raise NotConfigured(f"{path} is open to others on this machine. Run `chmod 600 {path}`, and change the secret.")


def _is_loopback(server: str) -> bool:
    host = server.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
