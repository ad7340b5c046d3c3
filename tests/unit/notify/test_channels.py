"""What leaves by each channel, as a real receiver has it: signed, escaped, encrypted, and nothing that acts."""

from __future__ import annotations

import email
import email.policy
import ssl
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qs, urlsplit

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from tenuto.clock import SystemClock
from tenuto.errors import Busy, Refused
from tenuto_projections.notify.channels import Email, Slack, Webhook, email_of, parse_secrets, slack_body
from tenuto_projections.notify.contacts import Contact, EmailChannel
from tenuto_projections.notify.notices import SENTENCES, Notice, Reason
from tenuto_projections.notify.wording import CLOSING, letter_of

from tests.doubles import StoppedClock
from tests.unit.notify.receivers import MailServer, WebReceiver, mail_server
from tests.unit.siem.receiver import Authority, new_authority

CONSOLE = "https://tenuto.example/console"
SECRET, OLD_SECRET = "whsec_" + "A" * 32, "whsec_" + "B" * 32
LENA = Contact(channels=("any",), email="lena@example.com")
AT = datetime(2026, 11, 27, 1, 2, 3, tzinfo=UTC)
HOSTILE = "x\r\nBcc: all@example.com\r\n\r\n<!channel> <@U1|you> *b* @channel &lt; [a](http://evil.example)\u2028\u202e`"


def notice(reason: Reason = "assigned", **changes: Any) -> Notice:
    fields = {
        "id": "notice-1", "person": "lena", "about": "approval-1", "position": 7, "at": AT, "subject": "terraform.plan",
        "risks": ("iam", "deletion"), "expires": AT + timedelta(hours=1),
    } | changes  # fmt: skip
    return Notice(reason=reason, **fields)  # type: ignore[arg-type]


@pytest.fixture
def tls(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca))


@pytest.fixture
def webhook(web: WebReceiver, tls: ssl.SSLContext) -> Webhook:
    return Webhook(web.url + "/hook?to=us", parse_secrets(f"{SECRET}\n{OLD_SECRET}\n", "here"), SystemClock(), tls=tls)


def mailing(mail: MailServer, tls: ssl.SSLContext, **changes: Any) -> Email:
    channel = EmailChannel(host="localhost", port=mail.port, sender="tenuto@example.com", user=changes.pop("user", ""))
    return Email(channel, changes.pop("password", ""), SystemClock(), tls=tls, **changes)


# --- what every letter has in common --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", get_args(Reason))
def test_a_letter_carries_one_address_that_names_a_page_and_nothing_that_acts(reason: Reason) -> None:
    letter = letter_of(notice(reason, about="approval-1&decision=approve#/../x"), CONSOLE)
    parts = urlsplit(letter.link)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "tenuto.example", "")
    assert parts.path.removeprefix("/console/") in ("review", "spotchecks", "alerts", "inbox")
    assert set(parse_qs(parts.query)) <= {"approval"}
    assert letter.text().count("://") == 1
    assert CLOSING in letter.text()
    assert letter.title == SENTENCES[reason]


@pytest.mark.parametrize("reason", ["second_look", "second_look_overdue"])
def test_a_letter_about_a_second_look_opens_the_page_where_it_is_taken(reason: Reason) -> None:
    assert letter_of(notice(reason), CONSOLE).link == f"{CONSOLE}/spotchecks?approval=approval-1"


def test_a_letter_says_subject_risks_and_expiry_and_no_more_than_that() -> None:
    assert letter_of(notice(), CONSOLE).text() == (
        "A request is yours to review.\n\nSubject: terraform.plan\nRisks: iam, deletion\nUntil: 2026-11-27 02:02:03 UTC\n"
        "Name: approval-1\n\nhttps://tenuto.example/console/review?approval=approval-1\n\n"
        "This message decides nothing. Decisions are made, and signed, in the console.\n"
    )


# --- webhook ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_a_webhook_is_verified_by_the_library_of_the_standard_under_either_secret(web: WebReceiver, webhook: Webhook, secret: str) -> None:
    webhook.send(letter_of(notice(), CONSOLE), LENA)
    (posted,) = web.posted
    verified = Verifier(secret).verify(posted.body.decode(), posted.headers)
    assert verified == posted.json
    assert (posted.path, posted.json["type"]) == ("/hook?to=us", "tenuto.assigned")
    assert posted.headers["webhook-id"] == posted.json["data"]["id"] == "notice-1"
    assert posted.json["data"]["link"] == f"{CONSOLE}/review?approval=approval-1"
    assert set(posted.json["data"]) == {"id", "reason", "person", "about", "sentence", "subject", "risks", "expires", "link"}


@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp", "body", "secret"])
def test_what_was_altered_on_the_way_does_not_verify(web: WebReceiver, webhook: Webhook, part: str) -> None:
    webhook.send(letter_of(notice(), CONSOLE), LENA)
    (posted,) = web.posted
    headers, body, secret = dict(posted.headers), posted.body.decode(), SECRET
    if part == "body":
        body = body.replace("approval-1", "approval-2")
    elif part == "secret":
        secret = "whsec_" + "C" * 32
    else:
        headers[part] = str(int(headers[part]) + 1) if part.endswith("stamp") else "notice-2"
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body, headers)


def test_an_old_one_is_told_by_its_timestamp_and_a_repetition_by_its_id(web: WebReceiver, tls: ssl.SSLContext) -> None:
    old = Webhook(web.url, parse_secrets(SECRET, "here"), StoppedClock(AT - timedelta(days=300)), tls=tls)
    old.send(letter_of(notice(), CONSOLE), LENA)
    with pytest.raises(WebhookVerificationError, match="too old"):
        Verifier(SECRET).verify(web.posted[0].body.decode(), web.posted[0].headers)
    for _ in range(2):
        Webhook(web.url, parse_secrets(SECRET, "here"), SystemClock(), tls=tls).send(letter_of(notice(), CONSOLE), LENA)
    assert [posted.headers["webhook-id"] for posted in web.posted] == ["notice-1"] * 3


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 429, 500, 503])
def test_every_other_answer_is_trouble_and_no_redirect_is_followed(web: WebReceiver, webhook: Webhook, status: int) -> None:
    web.answers = [status]
    with pytest.raises(Busy, match=f"localhost answers with {status}"):
        webhook.send(letter_of(notice(), CONSOLE), LENA)
    assert len(web.posted) == 1


def test_a_receiver_with_another_authority_gets_nothing(web: WebReceiver) -> None:
    with pytest.raises(Busy, match="certificate verify failed"):
        Slack(web.url, tls=ssl.create_default_context()).send(letter_of(notice(), CONSOLE), LENA)
    assert web.posted == []


def test_a_receiver_that_answers_a_byte_at_a_time_is_cut_off(web: WebReceiver, tls: ssl.SSLContext) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        try:
            while True:
                request.wfile.write(b"H")
                request.wfile.flush()
                request.rfile.raw._sock.settimeout(0.05)  # type: ignore[attr-defined]
                try:
                    request.rfile.read(1)
                except TimeoutError:
                    continue
                return
        except OSError:
            return

    web.answer = drip
    with pytest.raises(Busy, match="does not answer"):
        Slack(web.url, tls=tls, seconds=0.4).send(letter_of(notice(), CONSOLE), LENA)


# --- slack ------------------------------------------------------------------------------------------------------------------


def test_slack_gets_one_object_whose_foreign_text_can_mention_link_and_format_nothing(web: WebReceiver, tls: ssl.SSLContext) -> None:
    contact = Contact(channels=("team",), slack_id="U0LENA")
    Slack(web.url, tls=tls).send(letter_of(notice(subject=HOSTILE, risks=(HOSTILE,), about=HOSTILE), CONSOLE), contact)
    body = web.posted[0].json
    text = body.pop("text")
    assert body == {"mrkdwn": False, "parse": "none", "link_names": False, "unfurl_links": False, "unfurl_media": False}
    assert text.startswith("<@U0LENA> A request is yours")
    without_ours = text.removeprefix("<@U0LENA>").replace(f"<{letter_of(notice(about=HOSTILE), CONSOLE).link}>", "")
    assert "<" not in without_ours
    assert ">" not in without_ours
    assert "@channel" not in text
    assert "&lt;!channel&gt;" in text
    assert "&amp;lt;" in text
    assert "\u202e" not in text
    assert "\u2028" not in text
    assert len(text.splitlines()) == 7, "every fact is one line, whatever is in it"


def test_the_address_of_a_channel_is_a_secret_and_stands_in_no_error(web: WebReceiver, tls: ssl.SSLContext) -> None:
    web.answers = [500]
    with pytest.raises(Busy) as caught:
        Slack(f"{web.url}/services/T0/B0/verysecret", tls=tls).send(letter_of(notice(), CONSOLE), LENA)
    assert "verysecret" not in str(caught.value)


def test_a_digest_is_listed_line_by_line() -> None:
    letter = letter_of(notice("digest", about="", lines=("one <b>", "two @here")), CONSOLE)
    assert slack_body(letter)["text"].count("\n• ") == 2
    assert "(2)" in letter.title


# --- e-mail -----------------------------------------------------------------------------------------------------------------


def test_a_letter_arrives_over_tls_as_plain_text_with_its_id(mail: MailServer, tls: ssl.SSLContext) -> None:
    mailing(mail, tls, user="tenuto", password="a secret").send(letter_of(notice(), CONSOLE), LENA)
    (kept,) = mail.letters()
    message = email.message_from_string(kept["text"], policy=email.policy.default)
    assert (kept["tls"], kept["user"], kept["from"], kept["to"]) == (True, "tenuto", "tenuto@example.com", ["lena@example.com"])
    assert message["Subject"] == "Tenuto: A request is yours to review."
    assert message["Message-ID"] == "<notice-1@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert message.get_content().replace("\r\n", "\n") == letter_of(notice(), CONSOLE).text()


def test_no_text_becomes_a_header_a_recipient_or_a_second_letter(mail: MailServer, tls: ssl.SSLContext) -> None:
    letter = letter_of(notice(subject=HOSTILE, about=f"{HOSTILE}\r\n.\r\nMAIL FROM:<x@y>", risks=("\r\n.\r\n",)), CONSOLE)
    mailing(mail, tls).send(letter, LENA)
    (kept,) = mail.letters()
    message = email.message_from_string(kept["text"], policy=email.policy.default)
    assert kept["to"] == ["lena@example.com"]
    assert "Bcc" not in message
    assert sorted(message.keys()) == sorted(
        ["From", "To", "Subject", "Message-ID", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding", "MIME-Version", "Date"]
    )
    assert [line for line in message.get_content().splitlines() if line.startswith("Bcc")] == []


@pytest.mark.parametrize("address", ["lena@example.com\r\nBcc: x@y", "lena@example.com\nX: y"])
def test_an_address_with_a_line_break_makes_no_message(address: str) -> None:
    with pytest.raises(ValueError, match="linefeed or carriage return"):
        email_of(letter_of(notice(), CONSOLE), "tenuto@example.com", address)


def test_without_starttls_nothing_is_sent(tmp_path: Path, tls: ssl.SSLContext) -> None:
    with mail_server(tmp_path / "plain") as plain:
        with pytest.raises(Busy, match="STARTTLS"):
            mailing(plain, tls).send(letter_of(notice(), CONSOLE), LENA)
        assert plain.letters() == []


def test_a_mail_server_with_another_authority_gets_nothing(mail: MailServer, tmp_path: Path) -> None:
    other = new_authority(tmp_path / "other")
    with pytest.raises(Busy, match="certificate verify failed"):
        mailing(mail, ssl.create_default_context(cafile=str(other.ca))).send(letter_of(notice(), CONSOLE), LENA)
    assert mail.letters() == []


@pytest.mark.parametrize(
    ("to", "outcome"), [("nobody@example.com", Refused), ("later@example.com", Busy)], ids=["for ever", "for now"]
)
def test_one_who_is_refused_for_ever_holds_up_no_other_and_one_refused_for_now_is_tried_again(
    mail: MailServer, tls: ssl.SSLContext, to: str, outcome: type[Exception]
) -> None:
    with pytest.raises(outcome, match="answers with"):
        mailing(mail, tls).send(letter_of(notice(), CONSOLE), Contact(channels=("mail",), email=to))


def test_a_wrong_password_is_trouble_of_the_channel(mail: MailServer, tls: ssl.SSLContext) -> None:
    with pytest.raises(Busy, match="does not take mail"):
        mailing(mail, tls, user="tenuto", password="another").send(letter_of(notice(), CONSOLE), LENA)
