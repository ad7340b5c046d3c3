"""The works that make, replace and destroy keys; see `tests.faults.works`."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest
from nacl import bindings
from tenuto.adapters import keyfiles
from tenuto.adapters.keyfiles import shred
from tenuto.adapters.keyrenewal import change, end
from tenuto.adapters.keytreefile import KeyTreeFile, puncture
from tenuto.founding import found, is_founded
from tenuto.keytree import KeyDestroyed
from tenuto.registering import register, rotate
from tenuto.trust import load_trust

from tests.faults.work import Work
from tests.unit.test_registering import ADA, LENA, Root

ORIGIN = "tenuto.test/faults"


class Founding(Work):
    """`tenuto init`: five keys and the trust file."""

    def do(self) -> None:
        if not is_founded(self.home):
            found(self.home, ORIGIN)

    def end(self) -> object:
        trust, keys = load_trust(self.home), self.home / "keys"
        assert trust == load_trust(keys)
        assert trust.root == keyfiles.load_signer(keys, "root").public_key
        assert trust.log_key == keyfiles.load_log_signer(keys, ORIGIN).vkey
        secret = keyfiles.load_epoch_secret(keys, trust.epoch)
        assert trust.epoch_public_key == bindings.crypto_scalarmult_base(secret).hex()
        assert not KeyTreeFile(keys).tree.gone
        return sorted(str(file.relative_to(self.home)) for file in self.home.rglob("*"))


class Puncturing(Work):
    """A purge cuts keys out of the storage key, while another process has it open."""

    GONE, KEPT = [bytes([number]) * 32 for number in range(3)], b"k" * 32

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.keys = home / "keys"
        keyfiles.create_folder(self.keys)
        keyfiles.create_key(self.keys, keyfiles.STORAGE_KEY)
        self.open = KeyTreeFile(self.keys)
        self.kept = self.open.key_for(self.KEPT)

    def do(self) -> None:
        puncture(self.keys, self.GONE)

    def end(self) -> object:
        self.open.refresh(at_once=True)
        for tree in (self.open, KeyTreeFile(self.keys)):
            assert tree.key_for(self.KEPT) == self.kept
            for commit in self.GONE:
                with pytest.raises(KeyDestroyed):
                    tree.key_for(commit)
        return sorted(file.name for file in self.keys.iterdir())


class Renewing(Work):
    """`tenuto key storage renew`, its second time: the key changes, what is late is kept, the key before is destroyed."""

    GONE, KEPT, LATE, FRESH = (bytes([number]) * 32 for number in b"gklf")

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.keys = home / "keys"
        keyfiles.create_folder(self.keys)
        keyfiles.create_key(self.keys, keyfiles.STORAGE_KEY)
        puncture(self.keys, [self.GONE])
        self.change(1)
        end(self.keys, [])
        self.open = KeyTreeFile(self.keys)
        self.before = {commit: self.open.key_for(commit) for commit in (self.KEPT, self.LATE)}

    def change(self, covered: int) -> None:
        change(self.keys, array("Q", [int.from_bytes(commit[:8], "big") for commit in (self.KEPT, self.GONE)]), covered)

    def do(self) -> None:
        if KeyTreeFile(self.keys).tree.past.renewal == 1:
            self.change(2)
        end(self.keys, [self.LATE, self.GONE])

    def end(self) -> object:
        self.open.refresh(at_once=True)
        for tree in (self.open, KeyTreeFile(self.keys)):
            for commit, key in self.before.items():
                assert key in list(tree.keys_for(commit))
            with pytest.raises(KeyDestroyed):
                tree.key_for(self.GONE)
        assert len(list(self.open.keys_for(self.FRESH))) == 1
        puncture(self.keys, [self.KEPT, self.LATE])
        for commit in (self.KEPT, self.LATE):
            with pytest.raises(KeyDestroyed):
                KeyTreeFile(self.keys).key_for(commit)
        past = KeyTreeFile(self.keys).tree.past
        return past.renewal, past.covered, sorted(file.name for file in self.keys.iterdir())


class Shredding(Work):
    """`tenuto key epoch destroy`: the secret of an epoch that is over is overwritten, and gone."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.keys = home / "keys"
        keyfiles.create_folder(self.keys)
        for epoch in (1, 2):
            keyfiles.create_key(self.keys, keyfiles.epoch_file(epoch))
        self.present = keyfiles.load_epoch_secret(self.keys, 2)

    def do(self) -> None:
        shred(self.keys / keyfiles.epoch_file(1))

    def end(self) -> object:
        assert keyfiles.load_epoch_secret(self.keys, 2) == self.present
        return sorted(file.name for file in self.keys.iterdir())


class Registering(Work):
    """`tenuto key add`: key files and their registrations. The ledger is another process, which meets no fault."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.root, self.keys = Root(), home / "keys"
        keyfiles.create_folder(self.keys)

    def do(self) -> None:
        register(self.root, self.root.keyring, self.keys, [ADA, LENA], 5.0)  # type: ignore[arg-type]

    def end(self) -> object:
        for person in (ADA, LENA):
            assert self.root.keyring.current(person.author).key_id == keyfiles.load_signer(self.keys, person.author).key_id
        return len(self.root.keyring.keys()), [type(event).__name__ for event in self.root.recorded]


class Rotating(Registering):
    """`tenuto key rotate`: the next key is made, recorded, and takes the place of the old one."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        super().do()
        self.old = self.root.keyring.current(ADA.author).key_id

    def do(self) -> None:
        if keyfiles.load_signer(self.keys, ADA.author).key_id == self.old:
            rotate(self.root, self.root.keyring, self.keys, ADA.author, 5.0)  # type: ignore[arg-type]

    def end(self) -> object:
        assert self.root.keyring.current(ADA.author).key_id != self.old
        assert not (self.keys / f"{keyfiles.author_file(ADA.author)}.next").exists()
        return super().end()
