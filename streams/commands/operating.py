"""Sending operators' requests: signed under the operator's key, with an end and a number used once, and awaited."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple, TypeVar

import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.envelope import type_of
from schemas.keys import OPERATOR, derive_key
from schemas.operators import OperatorRequest
from schemas.partitioning import partition_of
from schemas.registry import describe
from streams import signed
from streams.commands.running import FOUND_WRONG, WRONG_USE, CommandError, fail, print_json
from streams.connection import kafka_options, partitions_of, started
from streams.settings import Settings

Operator = Annotated[str, typer.Option(help="Who asks: an operator of the site's policy, such as op-7.")]
Comment = Annotated[str, typer.Option(help="What to write down with it.")]

VALID_FOR_S = 30
ANSWER_WITHIN_S = 10.0
ACCEPTED = "operator_request_accepted"
Request = TypeVar("Request", bound=OperatorRequest)
_ANSWERS = (ACCEPTED, "operator_request_refused")


def new_request_id(operator_id: str) -> str:
    """An id that no other request has."""
    return f"{operator_id}-{secrets.token_hex(8)}"


def request_of(model: type[Request], site_id: str, operator_id: str, **fields: Any) -> Request:
    """A request that an operator makes now; where a field is not what it should be, the command ends with the fix."""
    who = {"request_id": new_request_id(operator_id), "site_id": site_id, "operator_id": operator_id}
    try:
        return model.model_validate({**who, "occurred_at": moment(), **fields})
    except ValueError as error:
        fail(describe(error), WRONG_USE)


class Desk(NamedTuple):
    """Where requests are put, and where they are answered."""

    requests: str = "operator.requests"
    answers: str = "access.decisions"


EVERYBODYS = Desk()
MONITORINGS = Desk("duress.requests", "duress.answers")
"""Where nobody but monitoring sees what is asked and answered."""


async def send_and_await(settings: Settings, request: OperatorRequest, desk: Desk = EVERYBODYS) -> dict[str, Any]:
    """Publish a request and wait for its answer; gives the answer's fields.

    Raises:
        CommandError: no answer within 10 s (is a decide worker running?).
    """
    options = kafka_options(settings)
    topic = desk.answers
    async with started(AIOKafkaConsumer(**options, enable_auto_commit=False, fetch_max_wait_ms=50)) as consumer:
        count = len((await partitions_of(consumer, [topic])).get(topic, ()))
        if not count:
            raise CommandError(f"no topic {topic}: run `doorstream topics apply`")
        place = TopicPartition(topic, partition_of(request.site_id.encode(), count))
        consumer.assign([place])
        await consumer.seek_to_end(place)
        await consumer.position(place)
        await publish(options, request, settings.master_secret(), place.partition, desk)
        return await _answer(consumer, request.request_id)


async def publish(
    options: Mapping[str, Any], request: OperatorRequest, master: bytes, partition: int, desk: Desk = EVERYBODYS
) -> None:
    """Publish one signed request."""
    topic = desk.requests
    key, value = request.site_id.encode(), request.to_json()
    headers = signed_headers(request, topic, key, value, master)
    async with started(AIOKafkaProducer(**options, acks="all")) as producer:
        await producer.send_and_wait(topic, value, key=key, partition=partition, headers=headers)


def signed_headers(
    request: OperatorRequest, topic: str, key: bytes, value: bytes, master: bytes
) -> list[tuple[str, bytes]]:
    """CloudEvents headers, the end, the number used once, and the mac under the operator's key."""
    source = f"/operators/{request.operator_id}"
    event = signed.Event(request.request_id, source, type_of(request), request.occurred_at.isoformat())
    secret = derive_key(master, OPERATOR, request.operator_id)
    return signed.signed_headers(secret, event, topic, key, value, moment() + timedelta(seconds=VALID_FOR_S))


def show_answer(answer: Mapping[str, Any], *, json: bool) -> None:
    """Print an answer where JSON is asked for, and end the command where it is a refusal."""
    if json:
        print_json(answer)
    if answer["type"] != ACCEPTED:
        fail(f"refused ({answer['code']}): {answer['detail']}", FOUND_WRONG)


async def _answer(consumer: AIOKafkaConsumer, request_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + ANSWER_WITHIN_S
    while time.monotonic() < deadline:
        for batch in (await consumer.getmany(timeout_ms=200)).values():
            for record in batch:
                if request_id.encode() in record.value:
                    fields: dict[str, Any] = json.loads(record.value)
                    if fields.get("type") in _ANSWERS and fields.get("request_id") == request_id:
                        return fields
        await asyncio.sleep(0)
    raise CommandError("no answer within 10 s: is `doorstream worker decide` running? `doorstream doctor` tells")


def moment() -> datetime:
    """Now, with an offset."""
    return datetime.now(UTC)
