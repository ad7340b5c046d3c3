"""Handing a message to a mail server: SMTP, with STARTTLS and a certificate that holds, or not at all."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage

from tenuto.errors import Busy, Refused

from .posting import cut_off, reason_of

PERMANENT = range(500, 600)


def hand_over(
    server: tuple[str, int], message: EmailMessage, *, login: tuple[str, str] | None, tls: ssl.SSLContext, seconds: float
) -> None:
    """Return when the server took the message. Raises Refused when it will never take it for this person, else Busy."""
    host = server[0]
    try:
        _converse(server, message, login, tls, seconds)
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        raise _judged(host, code, said) from error
    except smtplib.SMTPDataError as error:
        raise _judged(host, error.smtp_code, error.smtp_error) from error
    except smtplib.SMTPNotSupportedError as error:
        raise Busy(f"{host} does not offer what is needed: {reason_of(error)}.") from error
    except (OSError, smtplib.SMTPException) as error:
        raise Busy(f"{host} does not take mail: {reason_of(error)}.") from error


def _converse(
    server: tuple[str, int], message: EmailMessage, login: tuple[str, str] | None, tls: ssl.SSLContext, seconds: float
) -> None:
    smtp = smtplib.SMTP(*server, timeout=seconds)
    try:
        smtp.starttls(context=tls)
        assert smtp.sock is not None
        with cut_off(smtp.sock, seconds):
            if login is not None:
                smtp.login(*login)
            smtp.send_message(message)
        # The letter is theirs from here on, however they take the farewell.
        with suppress(OSError, smtplib.SMTPException):
            smtp.quit()
    finally:
        smtp.close()


def _judged(host: str, code: int, said: bytes | str) -> Busy | Refused:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    sentence = f"{host} answers with {code}: {text.splitlines()[0][:200] if text else 'nothing'}"
    return Refused(sentence) if code in PERMANENT else Busy(sentence)
