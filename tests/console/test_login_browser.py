"""Logging in with a real OpenID provider, in a real browser: who somebody is comes from the login, everything else from the ledger."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import psycopg
import pytest
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value
from tenuto.approvals.passkeys import Assertion
from tenuto.embedded import EmbeddedPostgres
from tenuto.events import (
    ApprovalSigned,
    PasskeyOffered,
    PasskeyRevoked,
    ReviewerEnrolled,
    ReviewerUnbound,
    SpotcheckSigned,
)
from tenuto.migrating import sqlalchemy_url
from tenuto_dashboard.passkeys import Ballot
from tenuto_projections.notify.notices import Notice
from tenuto_projections.notify.wording import link_of

from tests.console import story
from tests.console.logging_in import CONSOLE, SECONDS_MAX, Place, running_place
from tests.console.planted import ORIGIN, Planted, digest
from tests.unit.approvals.authenticator import Authenticator

DATABASE = "console_login"
COOKIE = "_streamlit_user"
ASKED, OTHER = "dns-ttl-1", "ci-role-1"
ALSO_DRAWN = "rate-limit-1"
"""An approval that is due for a second look as well."""
BROKEN = re.compile("Traceback|Uncaught|This app has encountered an error")


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    missing = [name for name in ("authlib", "oidc_provider_mock") if find_spec(name) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"CI needs {missing[0]}: install the console extra and the dev group.")
    if missing:
        pytest.skip(f"{missing[0]} is not installed; the console extra and the dev group have it.")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE tenuto_template")
    ledger = Planted(sqlalchemy_url(postgres.url_of(DATABASE)), story.just_ended())
    url = sqlalchemy_url(postgres.url_of(DATABASE, user="tenuto_console"))
    try:
        story.tell(ledger)
        with running_place(tmp_path_factory.mktemp("login"), url, ledger) as running:
            yield running
    finally:
        ledger.engine.dispose()


@pytest.fixture
def page(browser: Any, place: Place) -> Iterator[Any]:
    """A browser that was never here, with an authenticator of its own."""
    context = browser.new_context()
    context.set_default_timeout(SECONDS_MAX * 1000)
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield page
    said = page.inner_text("body")
    context.close()
    assert not BROKEN.search(said), said
    assert "Traceback" not in place.console.log(), place.console.log()


def sees(page: Any, *texts: str) -> None:
    for text in texts:
        page.get_by_text(text).filter(visible=True).first.wait_for()


SIGN = """async ([id, challenge]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
  const publicKey = { rpId: "localhost", challenge: bytes(challenge), userVerification: "required",
    allowCredentials: [{ type: "public-key", id: bytes(id) }] };
  const { response } = await navigator.credentials.get({ publicKey });
  return [response.clientDataJSON, response.authenticatorData, response.signature].map(text);
}"""


def signed_elsewhere(page: Any, place: Place, credential_id: str, ballot: Ballot) -> str:
    """A page of another address has the same device sign a real ballot, and returns the assertion as an event carries it."""
    page.goto(f"{place.behind}/_stcore/health")
    identity = base64.urlsafe_b64decode(credential_id + "=" * (-len(credential_id) % 4))
    parts = page.evaluate(SIGN, [base64.b64encode(identity).decode(), base64.b64encode(ballot.challenge).decode()])
    told = [part.replace("+", "-").replace("/", "_").rstrip("=") for part in parts]
    return str(Assertion(hashlib.sha256(identity).hexdigest(), ballot.nonce, *told))


def hidden(page: Any, text: str) -> bool:
    """Whether the page, just opened, does not show the text."""
    return bool(page.get_by_text(text).count() == 0)


def goes(page: Any, place: Place, shown: Any) -> None:
    """Wait until what was shown is no longer there: Streamlit lets it stand until the script that leaves it out has ended."""
    place.until(page, lambda: shown.count() == 0)


def signs_as(page: Any) -> str:
    return str(page.locator("[data-testid=stSidebar] .signer strong, [data-testid=stSidebar] .signer .strong").first.inner_text())


def log_in(page: Any, place: Place, subject: str, address: str = "/inbox") -> None:
    page.goto(place.url + address)
    page.get_by_role("button", name="Log in").click()
    page.locator("input[name=sub]").fill(subject)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(f"{place.url}/**")


def makes_a_passkey(page: Any, place: Place, reviewer: str) -> Any:
    """Whoever is logged in makes one in this browser, and an administrator enrols it; return the offer."""
    page.goto(f"{place.url}/passkeys")
    sees(page, "No passkey yet.")  # drawn last: the button is not drawn once more under the click
    page.get_by_role("button", name="Make a passkey").click()
    offer = place.take(page, PasskeyOffered)
    assert (offer.author, offer.reviewer, offer.web_origin) == (CONSOLE, reviewer, place.url)
    sees(page, f"tenuto passkey enrol {offer.credential[:16]}")
    place.enrol(offer.credential, reviewer)
    sees(page, "active")
    return offer


def test_who_logs_in_is_the_reviewer_whom_the_ledger_names_until_he_logs_out(place: Place, page: Any) -> None:
    page.goto(f"{place.url}/review?approval={ASKED}")
    sees(page, "Log in to review")
    assert hidden(page, "Shorten the TTL")
    log_in(page, place, "lena", f"/review?approval={ASKED}")
    sees(page, "Shorten the TTL", "Your decision")
    assert page.url == f"{place.url}/review?approval={ASKED}", "a notification leads through the login to what it is about"
    assert signs_as(page) == "lena"
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="End session").click()
    page.goto(f"{place.url}/inbox")
    sees(page, "Log in to review")


def test_a_stranger_is_told_what_an_administrator_has_to_run_and_no_role_of_his_admits_him(place: Place, page: Any) -> None:
    log_in(page, place, "mallory")
    command = f"tenuto reviewer bind NAME {place.identity('mallory')} --as ADMINISTRATOR"
    sees(page, "nobody has said which reviewer you are", command)
    for address in ("/inbox", f"/review?approval={ASKED}", "/passkeys"):
        page.goto(place.url + address)
        sees(page, command)
        assert hidden(page, "Shorten the TTL")
    place.bind("mallory", "otto")
    page.reload()
    sees(page, "You sign as")
    assert signs_as(page) == "otto"
    place.write(ReviewerUnbound, reviewer="otto", identity=place.identity("mallory"), reason="mistake")


def test_who_is_no_reviewer_any_more_loses_the_buttons_and_then_the_page_whatever_the_cookie_says(place: Place, page: Any) -> None:
    device = Authenticator()
    offer = device.offer("otto", relying_party="localhost", web_origin=place.url)
    place.write(PasskeyOffered, CONSOLE, **offer)
    place.enrol(device.credential, "otto")
    log_in(page, place, "otto")
    page.goto(f"{place.url}/review?approval={ASKED}")
    sees(page, "with your passkey")
    page.get_by_role("button", name="Deny").wait_for()
    place.write(ReviewerEnrolled, reviewer="otto", roles=("sre",), active=False)
    sees(page, "otto is not an active reviewer")
    goes(page, place, page.get_by_role("button", name="Deny"))
    place.write(ReviewerUnbound, reviewer="otto", identity=place.identity("otto"), reason="owner_left")
    sees(page, "nobody has said which reviewer you are")
    assert any(cookie["name"] == COOKIE for cookie in page.context.cookies())
    goes(page, place, page.get_by_text("Shorten the TTL"))


@pytest.mark.parametrize("key", ["another key", ""], ids=["another key", "no signature"])
def test_a_cookie_that_the_console_did_not_sign_admits_nobody(place: Place, page: Any, key: str) -> None:
    claims = {"iss": place.issuer, "sub": "lena", "iat": 4_000_000_000, "is_logged_in": True, "provider": "default", "origin": place.url}
    value = create_signed_value(key, COOKIE, json.dumps(claims)).decode() if key else json.dumps(claims)
    page.context.add_cookies([{"name": COOKIE, "value": value, "url": place.url}])
    page.goto(f"{place.url}/inbox")
    sees(page, "Log in to review")


def test_a_decision_is_signed_by_a_passkey_that_was_made_here_and_by_nothing_else(place: Place, page: Any) -> None:
    log_in(page, place, "lena")
    review = f"{place.url}/review?approval={ASKED}"
    page.goto(review)
    sees(page, "lena decides by passkey, and none is enrolled yet")
    assert page.get_by_role("button", name="Approve").count() == 0

    offer = makes_a_passkey(page, place, "lena")

    page.goto(review)
    place.until(page, lambda: page.get_by_role("button", name="Approve").is_enabled())
    page.get_by_role("textbox", name="Reason").fill("One record, and the TTL is what was agreed.")
    page.get_by_role("button", name="Approve").click()
    cast = place.take(page, ApprovalSigned)
    assert (cast.author, cast.reviewer, cast.decision) == (CONSOLE, "lena", "approve")
    sees(page, "Your approval is in the ledger")
    assert place.verdict(ASKED) == (True, 0, "")
    assert place.standing(ASKED).item.state == "granted"

    for like, changes, said in (
        (ASKED, {}, "was used before"), (OTHER, {"approval": OTHER, "digest": digest(OTHER)}, "did not sign this"),
        (ASKED, {"decision": "deny"}, "did not sign this"),
    ):  # fmt: skip
        place.send(cast, **changes)
        counts, rule, sentence = place.verdict(like)
        assert (counts, rule) == (False, 2)
        assert said in sentence

    elsewhere = signed_elsewhere(page, place, offer.credential_id, Ballot(ORIGIN, OTHER, digest(OTHER), "deny", None, "lena", "7" * 64))
    place.write(ApprovalSigned, CONSOLE, approval=OTHER, digest=digest(OTHER), decision="deny", reviewer="lena", assertion=elsewhere)
    assert (place.verdict(OTHER)[:2], "origin" in place.verdict(OTHER)[2]) == ((False, 2), True), place.verdict(OTHER)

    page.goto(f"{place.url}/review?approval={OTHER}")
    page.get_by_role("button", name="Deny").wait_for()
    place.write(PasskeyRevoked, reviewer="lena", credential=offer.credential, reason="lost")
    sees(page, "lena decides by passkey, and none is enrolled yet")
    place.send(cast, approval=OTHER, digest=digest(OTHER), decision="deny", coverage=None)
    assert "was revoked at position" in place.verdict(OTHER)[2]


def test_a_second_look_is_signed_by_a_passkey_on_the_page_that_its_notification_opens(place: Place, page: Any) -> None:
    place.bind("vera", "vera")
    drawn = Notice(id="n", reason="second_look", person="vera", about=story.OVERDUE, position=1, at=datetime.now(UTC))
    link = link_of(drawn, place.url)
    log_in(page, place, "vera", link.removeprefix(place.url))
    sees(page, "Let payments write its reports", "You are not an active reviewer, so your second look would not count")
    assert page.url == link
    makes_a_passkey(page, place, "vera")

    page.goto(link)
    sees(page, "Your second look", "with your passkey")
    agree = page.get_by_role("button", name=re.compile("^Agree"))
    place.until(page, agree.is_enabled)
    page.get_by_role("textbox", name="Reason").fill("Only the reports bucket, as the ticket says.")
    agree.click()
    signed = place.take(page, SpotcheckSigned)
    assert (signed.author, signed.reviewer, signed.approval, signed.finding) == (CONSOLE, "vera", story.OVERDUE, "agree")
    assert signed.assertion
    sees(page, "vera agrees")
    assert place.check(story.OVERDUE).finding == "agree"

    replayed = {"reviewer": "vera", "assertion": signed.assertion, "finding": "agree"}
    place.write(SpotcheckSigned, CONSOLE, approval=ALSO_DRAWN, digest=digest(ALSO_DRAWN), **replayed)
    assert place.check(ALSO_DRAWN).finding == "", "what was signed for one second look is none for another"
