"""The login as Streamlit wants it told: which provider, where it sends people back, and what signs the cookie.

Streamlit reads it from a file of secrets. It is written to memory that only this process and the one it becomes can read, so
that the provider's secret lies on disk once, where the operator put it. The cookie's own secret is made here and kept in the
home, mode 0600, so that a restart logs nobody out.
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
    """Return what signs the login's cookie, made when it is missing; raises NotConfigured when others may read it."""
    folder = settings.state / "console"
    if not (folder / COOKIE_KEY).exists():
        keyfiles.create_folder(folder)
        return keyfiles.create_key(folder, COOKIE_KEY).hex()
    return keyfiles.load_key(folder, COOKIE_KEY).hex()


def secrets_of(settings: Settings, cookie: str) -> str:
    """Return the file of secrets, TOML; empty where nobody logs in. Raises NotConfigured for a secret that others may read."""
    if settings.login_metadata_url is None:
        return ""
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


def in_memory(text: str) -> int:
    """Return a descriptor, to be inherited, behind which the text lies in memory without a name in any folder."""
    descriptor = os.memfd_create("tenuto-console-secrets", 0)
    os.write(descriptor, text.encode())
    return descriptor
