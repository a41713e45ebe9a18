"""Settings: environment variables `DOORSTREAM_...` and `doorstream.toml`; unknown names are refused with the fix."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from schemas.keys import read_master_secret

PREFIX = "DOORSTREAM_"
FILE = "doorstream.toml"
_BROKER = re.compile(r"^([A-Za-z]+://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]]+)(:\d{1,5})?$")
_SCHEMES = {"postgres": ("postgresql://", "postgres://"), "clickhouse": ("http://", "https://", "chdb:")}
_FOR_TESTS = ("TEST_KAFKA", "TEST_POSTGRES", "TEST_CLICKHOUSE")


class SettingsError(Exception):
    """A setting is missing, unknown or wrong; the text is one line with the fix."""


class Settings(BaseSettings):
    """How to reach the servers, and the few things worth changing. Environment variables win over the file."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    kafka: str = Field(default="", description="Kafka bootstrap servers, such as 127.0.0.1:9092")
    postgres: str = Field(default="", description="PostgreSQL DSN, such as postgresql://user:password@host/doorstream")
    clickhouse: str = Field(
        default="", description="ClickHouse: http://user:password@host:8123/database, or chdb:<folder>"
    )
    partitions: int = Field(default=12, ge=1, le=1000, description="partitions of every topic that has a site_id")
    replication: int = Field(default=1, ge=1, le=9, description="replicas of topics that `topics apply` makes")
    master_secret_file: Path | None = Field(default=None, description="file with the master secret, hexadecimal")

    reference_authentication: Literal["required", "off"] = Field(
        default="required", description="whether reference records count only with the administration's signature"
    )

    session_timeout_s: float = Field(
        default=10.0,
        ge=6,
        le=60,
        description="seconds after which a silent decide worker's partitions go to another one",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how Kafka is spoken to"
    )
    kafka_ca_file: Path | None = Field(default=None, description="CA certificates (PEM) that Kafka's is signed by")
    kafka_certificate_file: Path | None = Field(default=None, description="own certificate (PEM) for mutual TLS")
    kafka_key_file: Path | None = Field(default=None, description="own private key (PEM) for mutual TLS")
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="SASL mechanism"
    )
    kafka_username: str | None = Field(default=None, description="SASL user name")
    kafka_password_file: Path | None = Field(default=None, description="file with the SASL password")

    notify_email: str = Field(
        default="",
        repr=False,
        description="apprise URL that e-mail leaves by, with {to} where the address belongs; "
        "or file:<path> of a file with it",
    )
    notify_sms: str = Field(default="", repr=False, description="the same for SMS")
    notify_phone: str = Field(default="", repr=False, description="the same for calls")
    notify_webhook: str = Field(
        default="", repr=False, description="the same for webhooks; empty: each recipient's own URL gets JSON"
    )
    notify_templates: Path | None = Field(
        default=None, description="folder whose <language>/<channel>.txt replace doorstream's own"
    )

    metrics_host: str = Field(default="127.0.0.1", description="where /metrics, /livez and /readyz listen")
    metrics_port: int = Field(default=9464, ge=0, le=65535, description="their port; 0 chooses a free one")
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, JSON elsewhere"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least level shown")
    stack_folder: Path = Field(default=Path(".doorstream/stack"), description="where `stack up` keeps its data")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(FILE))

    @field_validator("kafka")
    @classmethod
    def _are_brokers(cls, text: str) -> str:
        if text and not all(_BROKER.match(part.strip()) for part in text.split(",")):
            raise ValueError(f"{text!r} is no list of brokers, such as 127.0.0.1:9092,127.0.0.1:9093")
        return text

    @field_validator("postgres", "clickhouse")
    @classmethod
    def _is_address(cls, text: str, field: ValidationInfo) -> str:
        wanted = _SCHEMES[str(field.field_name)]
        try:
            well = not text or (text.startswith(wanted) and (urlsplit(text).port or 0) >= 0)
        except ValueError:
            well = False
        if not well:
            # The address may hold a password, so it is not repeated.
            raise ValueError(f"is no address: it begins with {' or '.join(wanted)}, and a port is a number")
        return text

    def need(self, *names: Literal["kafka", "postgres", "clickhouse"]) -> None:
        """Make sure that these servers are set.

        Raises:
            SettingsError: one is not.
        """
        for name in names:
            if not getattr(self, name):
                raise SettingsError(
                    f"{PREFIX}{name.upper()} is not set: export it, or run `doorstream stack up` and use what it prints"
                )

    def master_secret(self) -> bytes:
        """The master secret's bytes.

        Raises:
            SettingsError: no file is set, or it can't be read or is no secret.
        """
        if self.master_secret_file is None:
            raise SettingsError(
                f"{PREFIX}MASTER_SECRET_FILE is not set: point it at a file that `openssl rand -hex 32` wrote"
            )
        try:
            return read_master_secret(self.master_secret_file.read_text(encoding="ascii"))
        except OSError as error:
            raise SettingsError(f"{self.master_secret_file}: {error.strerror}: check the path and its mode") from None
        except ValueError as error:
            raise SettingsError(f"{self.master_secret_file}: {error}") from None


def unknown_names(environment: Mapping[str, str], file_names: Mapping[str, Any]) -> list[str]:
    """A line for each name that is no setting, with the nearest one that is."""
    known = list(Settings.model_fields)
    given = [
        (name, name.removeprefix(PREFIX).lower())
        for name in environment
        if name.upper().startswith(PREFIX) and name.removeprefix(PREFIX) not in _FOR_TESTS
    ]
    given += [(f"{FILE}: {name}", name) for name in file_names]
    lines = []
    for shown, name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            right = near if shown.startswith(FILE) else PREFIX + near.upper()
            lines.append(f"{shown} is no setting: did you mean {right}?")
    return lines


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")


def load_settings(**overrides: Any) -> Settings:
    """The settings in force.

    Raises:
        SettingsError: unknown names or wrong values, all in one line.
    """
    file_names: dict[str, Any] = {}
    if Path(FILE).exists():
        try:
            file_names = tomllib.loads(Path(FILE).read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{FILE} is not valid TOML: {error}") from None
    unknown = unknown_names(os.environ, file_names)
    if unknown:
        raise SettingsError("; ".join(unknown))
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        rows = error.errors(include_url=False, include_input=False)
        raise SettingsError(
            "; ".join(f"{PREFIX}{str(row['loc'][0]).upper()}: {_said(row['msg'])}" for row in rows)
        ) from None
