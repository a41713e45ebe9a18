"""How Kafka is reached, as aiokafka's clients and Faust's apps want to be told."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from faust.auth import SASLCredentials, SSLCredentials

DEFAULT_PORT = 9092


@dataclass(frozen=True)
class KafkaSettings:
    """Bootstrap servers (`host:port,host:port`) and how to secure the connection; no secret shows in its `repr`."""

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    sasl_mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> KafkaSettings:
        """From the keyword arguments of an aiokafka client."""
        return cls(
            bootstrap=options["bootstrap_servers"],
            security_protocol=options.get("security_protocol", "PLAINTEXT"),
            ssl_context=options.get("ssl_context"),
            sasl_mechanism=options.get("sasl_mechanism", "SCRAM-SHA-512"),
            username=options.get("sasl_plain_username"),
            password=options.get("sasl_plain_password"),
        )

    @property
    def client_options(self) -> dict[str, Any]:
        """The keyword arguments of an aiokafka client."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security_protocol,
        }
        if self.ssl_context is not None:
            options["ssl_context"] = self.ssl_context
        if self.username is not None:
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options

    @property
    def faust_brokers(self) -> list[str]:
        """The setting `broker` of a Faust app."""
        return [f"kafka://{server.strip()}" for server in self.bootstrap.split(",") if server.strip()]

    @property
    def faust_credentials(self) -> SASLCredentials | SSLCredentials | None:
        """The setting `broker_credentials` of a Faust app."""
        if self.username is not None:
            return SASLCredentials(
                username=self.username,
                password=self.password,
                ssl_context=self.ssl_context,
                mechanism=self.sasl_mechanism,
            )
        if self.ssl_context is not None:
            return SSLCredentials(self.ssl_context)
        return None
