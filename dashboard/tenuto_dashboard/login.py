"""The login as Streamlit wants it told: which provider, where it sends people back, and what signs the cookie.

Streamlit reads it from a file of secrets and from nowhere else, so it is written for it, mode 0600 in a folder of mode 0700, at
each start anew. The cookie's own secret is made here and kept beside it, so that a restart logs nobody out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from tenuto.adapters import keyfiles
from tenuto.adapters.kafka_access import load_password
from tenuto.errors import NotConfigured
from tenuto.settings import PREFIX, Settings

from .passkeys import page_at

COOKIE_KEY = "cookie.key"
CALLBACK = "/oauth2callback"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NEEDED = ("console_url", "login_client_id", "login_client_secret_file")


def verify_login(settings: Settings) -> None:
    """Raise NotConfigured, naming setting and remedy, for a login that is half configured or would not protect."""
    if settings.console_url is not None:
        page_at(settings.console_url)
    given = [name for name in _NEEDED[1:] if getattr(settings, name) is not None]
    if settings.login_metadata_url is None:
        if given:
            raise NotConfigured(f"{PREFIX}{given[0].upper()} is set, and nobody logs in without {PREFIX}LOGIN_METADATA_URL. Set or unset both.")
        return
    missing = [name for name in _NEEDED if getattr(settings, name) is None]
    if missing:
        raise NotConfigured(f"Logging in needs {PREFIX}{missing[0].upper()}. Set it, or unset {PREFIX}LOGIN_METADATA_URL.")
    parts = urlsplit(settings.login_metadata_url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise NotConfigured(f"{PREFIX}LOGIN_METADATA_URL has to be https: whoever answers there says who people are.")


def cookie_secret(settings: Settings) -> str:
    """Return what signs cookies, made when it is missing; raises NotConfigured when others may read it."""
    folder = secrets_file(settings).parent
    if not (folder / COOKIE_KEY).exists():
        keyfiles.create_folder(folder)
        return keyfiles.create_key(folder, COOKIE_KEY).hex()
    return keyfiles.load_key(folder, COOKIE_KEY).hex()


def secrets_file(settings: Settings) -> Path:
    """Where the file of secrets of this home's console is, if there is one; Streamlit asks for a name that ends so."""
    return settings.home.absolute() / "state" / "console" / "login.toml"


def prepare(settings: Settings) -> str:
    """Write the file of secrets, or take it away where nobody logs in; return what signs cookies.

    Raises NotConfigured for a secret that is missing or that others may read.
    """
    file, cookie = secrets_file(settings), cookie_secret(settings)
    file.unlink(missing_ok=True)
    if settings.login_metadata_url is not None:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as writing:
            writing.write(_secrets(settings, cookie))
    return cookie


def _secrets(settings: Settings, cookie: str) -> str:
    assert settings.console_url is not None, "verify_login demands it"
    entries = {
        "redirect_uri": page_at(settings.console_url).web_origin + CALLBACK,
        "cookie_secret": cookie,
        "client_id": settings.login_client_id,
        "client_secret": load_password(settings.login_client_secret_file or Path()),
        "server_metadata_url": settings.login_metadata_url,
    }
    # TOML's basic strings are written as JSON's are. Only who somebody is is asked for: no address, no groups.
    lines = [f"{name} = {json.dumps(value)}" for name, value in entries.items()]
    return "\n".join(["[auth]", *lines, "[auth.client_kwargs]", 'scope = "openid"', ""])
