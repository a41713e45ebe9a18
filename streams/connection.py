"""How Kafka is reached: the settings as the keyword arguments that every aiokafka client takes."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.settings import Settings, SettingsError

Client = TypeVar("Client", bound=Any)


def kafka_options(settings: Settings) -> dict[str, Any]:
    """`bootstrap_servers` and what TLS and SASL need.

    Raises:
        SettingsError: Kafka is not set, or a file of its security settings can't be used.
    """
    settings.need("kafka")
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {"bootstrap_servers": settings.kafka, "security_protocol": protocol}
    if protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if protocol.startswith("SASL"):
        if settings.kafka_username is None or settings.kafka_password_file is None:
            raise SettingsError("SASL needs DOORSTREAM_KAFKA_USERNAME and DOORSTREAM_KAFKA_PASSWORD_FILE")
        try:
            password = settings.kafka_password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{settings.kafka_password_file}: {error.strerror}: check the path") from None
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": password,
        }
    return options


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
        if settings.kafka_certificate_file is not None:
            context.load_cert_chain(settings.kafka_certificate_file, settings.kafka_key_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"the TLS files of Kafka can't be used: {error}: check DOORSTREAM_KAFKA_CA_FILE") from None
    return context


@asynccontextmanager
async def started(client: Client) -> AsyncIterator[Client]:
    """An aiokafka consumer, producer or admin client, started; and stopped even where starting failed."""
    try:
        await client.start()
        yield client
    finally:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())


async def partitions_of(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> dict[str, list[TopicPartition]]:
    """The partitions of each of these topics that exists, in their order.

    `partitions_for_topic` does not do: where the broker speaks Metadata v1 or later, it knows subscribed topics only.
    """
    cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - there is no public way to ask
    found = {topic: cluster.partitions_for_topic(topic) for topic in topics}
    return {topic: [TopicPartition(topic, p) for p in sorted(numbers)] for topic, numbers in found.items() if numbers}
