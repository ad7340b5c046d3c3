"""The read model of signers says what the fold of the roster and its passkeys says."""

from __future__ import annotations

from tenuto_projections.signers import Signers, passkeys, reviewer_of, signer

from .story import DEVICE, tell
from .test_read_models import built
from .written import DIGEST


def test_who_logs_in_as_whom_until_it_is_ended() -> None:
    assert reviewer_of(built(tell("bind"), Signers()), DIGEST) == "lena"
    assert reviewer_of(built(tell("bind", "unbind"), Signers()), DIGEST) is None
    assert reviewer_of(built(tell(), Signers()), DIGEST) is None


def test_the_life_of_a_passkey() -> None:
    states = []
    for moves in (["offer"], ["offer", "enrol"], ["offer", "enrol", "end passkey"]):
        (held,) = passkeys(built(tell(*moves), Signers()), "lena")
        states.append((held.state, held.owner, held.credential))
    assert states == [(state, owner, DEVICE.credential) for state, owner in (("offered", None), ("active", "lena"), ("revoked", "lena"))]
    assert passkeys(built(tell("offer"), Signers()), "bob") == ()


def test_how_somebody_may_sign() -> None:
    here = built(tell("offer", "enrol", "relieve"), Signers())
    lena, eve, bob = (signer(here, name) for name in ("lena", "eve", "bob"))
    assert (lena.active, lena.keys, [one.state for one in lena.signing]) == (True, 0, ["active"])
    assert (eve.active, eve.passkey_only, eve.keys, eve.signing) == (False, True, 1, ())
    assert (bob.active, bob.passkey_only, bob.keys, bob.signing) == (True, False, 1, ())


def test_somebody_without_a_valid_key_is_nobody_who_signs() -> None:
    lena = signer(built(tell("offer", "enrol", "end passkey"), Signers()), "lena")
    assert (lena.active, lena.keys, lena.signing, len(lena.passkeys)) == (False, 0, (), 1)
