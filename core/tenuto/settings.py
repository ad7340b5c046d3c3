"""Every setting, in one frozen model, each with its sentence. The environment is read here and nowhere else.

All variables begin with `TENUTO_`; one that is not known is an error, because a misspelt setting that passes silently is
how a control gets switched off. `KAFKA_BOOTSTRAP_SERVERS` is read as well, since operators have it already.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import NotConfigured

PREFIX = "TENUTO_"
EVENTS_TOPIC = "tenuto.events"
INBOX_TOPIC_PREFIX = "tenuto.inbox."


class Settings(BaseSettings):
    """How this process is set up; read from `TENUTO_*` variables by `load_settings`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(Path(".tenuto"), description="Folder for keys, trust file, tiles, spools and embedded data.")
    database_url: str | None = Field(None, description="Postgres URL without a user; each process adds its own role.")
    kafka: str | None = Field(None, description="Kafka bootstrap servers, `host:port,...`; also KAFKA_BOOTSTRAP_SERVERS.")
    kafka_security: Literal["plaintext", "ssl", "sasl_ssl", "sasl_plaintext"] = Field(
        "plaintext", description="ssl: by certificate; sasl_ssl: by password over TLS; sasl_plaintext: on loopback only."
    )
    kafka_ca: Path | None = Field(None, description="PEM file of the authority that the brokers' certificates come from.")
    kafka_cert: Path | None = Field(None, description="PEM certificate for ssl; else that of the author in the key folder.")
    kafka_key: Path | None = Field(None, description="PEM key of that certificate, mode 0600.")
    kafka_mechanism: Literal["SCRAM-SHA-512"] = Field("SCRAM-SHA-512", description="How a password is proved.")
    kafka_user: str | None = Field(None, description="Kafka account; the author's own name when unset, and never another's.")
    kafka_password_file: Path | None = Field(
        None, description="File of the account's password, mode 0600; else that of the account in the key folder."
    )
    partitions: int = Field(4, ge=1, le=256, description="Partitions of the events topic, used when it is created.")
    batch_events: int = Field(2000, ge=1, le=2000, description="Most events that ingest commits at once.")
    verify_threads: int = Field(
        2, ge=0, le=64, description="Threads that check signatures; with 0 a process does it itself."
    )
    gap_seconds: float = Field(30.0, gt=0, description="How long ingest waits for a missing event before it records a gap.")
    seal_milliseconds: int = Field(200, ge=10, description="How often the sealer looks for new events.")
    refusals_in_a_row: int = Field(1000, ge=1, description="So many refused records in a row stop ingest.")
    receipt_seconds: float = Field(30.0, gt=0, description="How long a recorder waits for a receipt before it says so.")
    policy: str | None = Field(
        None,
        description="Cedar files or folders, separated by commas, or one rule of an OPA server (`http://HOST:8181/v1/data/...`); the"
        " reference bundle when unset.",
    )
    provider: Path | None = Field(
        None, description="TOML file that names the Terraform provider which plans may use; only built-in ones when unset."
    )
    state_store: str | None = Field(
        None, description="Address of the state store that infrastructure works with; files in the home when unset."
    )
    state_port: int = Field(8503, ge=0, le=65535, description="Port of the state store.")
    state_key: str | None = Field(
        None, description="Transit key that protects state at rest, `https://HOST:8200/KEY`; a file in the home when unset."
    )
    drift_seconds: float = Field(900.0, gt=0, description="How often the infrastructure agent looks for drift.")
    console_port: int = Field(8501, ge=0, le=65535, description="Port of the approval console.")
    console_address: str = Field("127.0.0.1", description="Address the console listens on.")
    notify: Path | None = Field(None, description="Settings file of notifications (TOML); nobody is told anything when unset.")
    model: str = Field("scripted", description="scripted, gullible, or a provider model such as `openai:gpt-5`.")
    sandbox: Literal["required", "optional"] = Field(
        "required", description="optional: a machine without bubblewrap reviews without it and says so; for demonstrations."
    )
    secrets_manager: str | None = Field(None, description="Address of an OpenBao or Vault server whose database engine rotates what leaked.")
    secrets_token: str | None = Field(None, description="Its token, by reference: `file:PATH` of a file with mode 0600.")
    reviewer: str = Field("demo-reviewer", description="Reviewer that the console signs for where nobody logs in.")
    console_url: str | None = Field(
        None, description="Where people open the console, such as https://tenuto.example; passkeys, logins and notifications name it."
    )
    login_metadata_url: str | None = Field(
        None, description="The provider's OpenID configuration (`https://HOST/.well-known/...`); nobody logs in when unset."
    )
    login_client_id: str | None = Field(None, description="What the provider calls this console.")
    login_client_secret_file: Path | None = Field(None, description="File of the secret that the provider gave it, mode 0600.")
    login_hours: int = Field(10, ge=1, le=168, description="How long a login is good for, whatever the browser keeps.")
    containers: Path | None = Field(
        None, description="File of the container site that releases go to; the built-in target of this machine when unset."
    )
    archive: Path | None = Field(None, description="Folder of what retention takes out of the database; else in the home.")
    witness_url: str | None = Field(None, description="Where this home's own witness answers; the sealer asks it there.")
    metrics_port: int | None = Field(None, ge=0, le=65535, description="Port of /metrics and /healthz; none when unset.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is written to stderr.")

    @property
    def keys(self) -> Path:
        """Folder of private keys, mode 0700."""
        return self.home / "keys"

    @property
    def tiles(self) -> Path:
        """Folder of the published log: `checkpoint` and `tile/`."""
        return self.home / "log"

    @property
    def archives(self) -> Path:
        """Folder of what retention took out of the database, unless TENUTO_ARCHIVE names another."""
        return self.archive or self.home / "archive"

    @property
    def spool(self) -> Path:
        """Folder of recorder spools, one file per author."""
        return self.home / "spool"

    @property
    def state(self) -> Path:
        """Folder of each process's own durable state (sealer, witness, last checkpoint seen)."""
        return self.home / "state"


def load_settings(environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Return the settings; raises NotConfigured naming any unknown or invalid variable."""
    source = os.environ if environment is None else environment
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in source if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise NotConfigured(f"Unknown setting {', '.join(unknown)}. Known are: {', '.join(sorted(known))}.")
    values: dict[str, object] = {name.removeprefix(PREFIX).lower(): source[name] for name in known if name in source}
    if "KAFKA_BOOTSTRAP_SERVERS" in source:
        values.setdefault("kafka", source["KAFKA_BOOTSTRAP_SERVERS"])
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        raise NotConfigured(f"The setting {name} is not valid: {first['msg']}.") from error
