"""A real Apache Kafka that knows its clients by name: the node of `deploy/kafka/server.properties`, on loopback.

The file that is deployed is the file that is started. Replaced are addresses, paths, the replication that one node cannot
have and the pause before a refusal, and one listener is added: SCRAM without TLS, so that a test of rights does not wait for handshakes. The authority and
the certificates are made by `openssl` and live as long as the directory.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from kafka.admin import KafkaAdminClient, UserScramCredentialUpsertion
from tenuto.adapters.kafka_access import KafkaAccess
from tenuto.embedded.child import LOOPBACK, PartMissing, free_port

from tests.house.tree import ROOT
from tests.kafka.apache_kafka import SINGLE_NODE, ApacheKafka

DEPLOYED = ROOT / "deploy" / "kafka" / "server.properties"
ADMIN, NODE = "kafka-admin", "kafka-node"
MECHANISM = "SCRAM-SHA-512"
OPENSSL_SECONDS_MAX = 60


class SecuredKafka(ApacheKafka):
    """One node with accounts and rights. `bootstrap` takes SCRAM, `tls` SCRAM over TLS, `certified` certificates."""

    def __init__(self, directory: Path) -> None:
        """Use `directory`, created when missing, and any free ports."""
        super().__init__(directory)
        self._tls, self._certified = free_port(), free_port()
        self.passwords: dict[str, str] = {ADMIN: secrets.token_hex(16)}
        self.certificates = Authority(directory.absolute() / "certificates")

    @property
    def tls(self) -> str:
        """`host:port` of the listener for SCRAM over TLS."""
        return f"{LOOPBACK}:{self._tls}"

    @property
    def certified(self) -> str:
        """`host:port` of the listener for certificates."""
        return f"{LOOPBACK}:{self._certified}"

    def add_accounts(self, names: Iterable[str]) -> None:
        """Give each a SCRAM account with a password of its own, as the administrator."""
        new = {name: secrets.token_hex(16) for name in names}
        with self.admin() as admin:
            answer = admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(name, MECHANISM, password) for name, password in new.items()]
            )
        assert not any(answer.values()), answer
        self.passwords |= new

    def admin(self) -> KafkaAdminClient:
        """Return an administrator's client."""
        return KafkaAdminClient(bootstrap_servers=self.bootstrap, **self.login(ADMIN))

    def login(self, name: str, password: str | None = None) -> Mapping[str, str]:
        """What a client of kafka-python is told to be `name`."""
        return {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": name,
            "sasl_plain_password": self.passwords[name] if password is None else password,
        }

    def access(self, name: str, folder: Path, *, tls: bool = False) -> KafkaAccess:
        """What a bus of ours is told to be `name`; its password goes to a file in `folder`."""
        file = folder / f"{name}.password"
        file.touch(mode=0o600)
        file.write_text(self.passwords[name] + "\n")
        if not tls:
            return KafkaAccess("sasl_plaintext", user=name, password_file=file)
        return KafkaAccess("sasl_ssl", user=name, password_file=file, ca=self.certificates.ca)

    def certificate_of(self, name: str) -> KafkaAccess:
        """What a bus of ours is told to be `name` by a certificate."""
        certificate, key = self.certificates.issue(name)
        return KafkaAccess("ssl", ca=self.certificates.ca, cert=certificate, key=key)

    def _settings(self) -> Mapping[str, str]:
        deployed = dict(
            line.split("=", 1) for line in DEPLOYED.read_text("ascii").splitlines() if line and not line.startswith("#")
        )
        certificate, key = self.certificates.issue(NODE)
        node = self.certificates.folder / "node.pem"
        node.write_text(key.read_text() + certificate.read_text())
        controller = free_port()
        clients = (
            f"LOOPBACK://{self.bootstrap},AGENTS://{LOOPBACK}:{self._tls},CERTIFIED://{LOOPBACK}:{self._certified}"
        )
        scram = {
            name.replace("listener.name.agents.", "listener.name.loopback."): value
            for name, value in deployed.items()
            if name.startswith("listener.name.agents.")
        }
        return {
            **deployed,
            **scram,
            **SINGLE_NODE,
            "default.replication.factor": "1",
            "min.insync.replicas": "1",
            "connection.failed.authentication.delay.ms": "0",  # it slows down who guesses, and a test of refusals
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "listeners": f"{clients},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": clients,
            "listener.security.protocol.map": deployed["listener.security.protocol.map"] + ",LOOPBACK:SASL_PLAINTEXT",
            "log.dirs": str(self._directory / "data"),
            "ssl.keystore.location": str(node),
            "ssl.truststore.location": str(self.certificates.ca),
        }

    def _accounts(self) -> tuple[str, ...]:
        return ("--add-scram", f"{MECHANISM}=[name={ADMIN},password={self.passwords[ADMIN]}]")


class Authority:
    """A certificate authority in a folder; `ca` is its own certificate. Raises PartMissing where `openssl` is."""

    def __init__(self, folder: Path) -> None:
        """Make the authority when it is first asked for something."""
        self.folder = folder

    @property
    def ca(self) -> Path:
        """The certificate to trust."""
        if not (self.folder / "ca.pem").exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make("ca", "/CN=Test authority", "-addext", "basicConstraints=critical,CA:TRUE")
        return self.folder / "ca.pem"

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key, as PEM files, of `name` on loopback."""
        if not (self.folder / f"{name}.pem").exists():
            ca = self.ca
            self._make(
                name, f"/CN={name}", "-addext", f"subjectAltName=IP:{LOOPBACK},DNS:localhost",
                "-CA", str(ca), "-CAkey", str(ca.with_suffix(".key")),
            )  # fmt: skip
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _make(self, name: str, subject: str, *extensions: str) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            raise PartMissing("The certificates are made by `openssl`, which is not on the PATH.")
        files = ("-keyout", str(self.folder / f"{name}.key"), "-out", str(self.folder / f"{name}.pem"))
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2")
        ended = subprocess.run(
            [openssl, "req", "-x509", *kind, "-subj", subject, *files, *extensions],
            capture_output=True, text=True, timeout=OPENSSL_SECONDS_MAX, check=False,
        )  # fmt: skip
        if ended.returncode != 0:
            raise AssertionError(f"openssl could not make the certificate of {name}: {ended.stderr}")
