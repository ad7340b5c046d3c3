"""`tenuto init`: make the root of trust of a new log, once, whole or not at all.

Five keys are made and one public file is written that names them. Everything else (who may sign, with which role) enters
later as events that the root signs. The trust file is written last: where it is missing, nothing was founded.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from .adapters import keyfiles
from .errors import NotConfigured
from .keyring import ROOT
from .log.note import NoteSigner
from .log.witnessing import cosigner_vkey
from .signing import SeedSigner
from .trust import TRUST_FILE, Trust, load_trust

FIRST_EPOCH = 1
WITNESS_SUFFIX = "-witness"
_ORIGIN = re.compile(r"^[a-z0-9][a-z0-9.-]*(/[a-z0-9][a-z0-9._-]*)+$")


def witness_name(origin: str) -> str:
    """The key name of the witness that a single machine runs for itself."""
    return origin + WITNESS_SUFFIX


def is_founded(home: Path) -> bool:
    """Whether this home has a trust file."""
    return (home / TRUST_FILE).exists()


def found(home: Path, origin: str) -> Trust:
    """Make the keys and the trust file of a new log called `origin` in `home`.

    Raises NotConfigured when the home has a log already or keys lie there, or the name is not of the form
    `host/path` in lower case (C2SP tlog-checkpoint asks for a schema-less URL).
    """
    if not _ORIGIN.fullmatch(origin) or len(origin) > 100:
        raise NotConfigured(f"{origin!r} cannot name a log. Use a lower-case name such as `example.com/payments`.")
    if is_founded(home):
        raise NotConfigured(f"{home} holds a log already. Use it, or choose another folder with TENUTO_HOME.")
    keys = home / "keys"
    if (keys / TRUST_FILE).exists() and (trust := load_trust(keys)).origin == origin:
        trust.save(home)  # an earlier attempt came as far as the keys, which hold a copy
        return trust
    if keys.exists() and any(keys.iterdir()):
        raise NotConfigured(f"{keys} holds keys but {home} has no {TRUST_FILE}. Restore that file, or move the keys away.")
    staged = home / "keys.new"
    shutil.rmtree(staged, ignore_errors=True)  # what an interrupted attempt left; nothing was ever made with it
    keyfiles.create_folder(staged)
    trust = _create(staged, origin)
    trust.save(staged)
    if keys.exists():
        keys.rmdir()
    staged.rename(keys)
    # From here on the log exists: a crash one line earlier leaves nothing of it, one line later the copy among the keys.
    trust.save(home)
    return trust


def _create(folder: Path, origin: str) -> Trust:
    root = SeedSigner(ROOT, keyfiles.create_key(folder, keyfiles.author_file(ROOT)))
    log = NoteSigner(origin, keyfiles.create_key(folder, keyfiles.LOG_KEY))
    witness = cosigner_vkey(witness_name(origin), keyfiles.create_key(folder, keyfiles.WITNESS_KEY))
    keyfiles.create_key(folder, keyfiles.STORAGE_KEY)
    epoch = keyfiles.epoch_public_key(keyfiles.create_key(folder, keyfiles.epoch_file(FIRST_EPOCH)))
    return Trust(
        origin=origin,
        root_public_key=root.public_key.hex(),
        log_key=log.vkey,
        policy=f"log {log.vkey}\nwitness local {witness}\nquorum local\n",
        epoch=FIRST_EPOCH,
        epoch_public_key=epoch.hex(),
    )
