"""Foul play: somebody listens on the wire and sends again what was said, or something like it."""

from __future__ import annotations

import random

from schemas.factors import Card
from schemas.signing import MAC_HEADER
from schemas.vocabulary import Reason
from streams.simulator.book import RequestKey
from streams.simulator.judge import Judge
from streams.simulator.scene import Scene
from streams.simulator.stage import Stage
from streams.simulator.wire import Outgoing

FOUL = ("reads_twice", "replay", "altered", "reused_number", "unsigned")
"""The same record once or several times more, with another content, under the same number, or without its mac."""

STRANGER = "9"
"""Card numbers of strangers begin so; a number that happens to be on file is not used."""


async def play_foul(stage: Stage, judge: Judge, scene: Scene, chance: random.Random) -> None:
    """Somebody shows a card; and somebody who listens on the wire plays foul with what was said."""
    premises = stage.premises
    door_id = stage.places.points[scene.goal].door_id
    card = stage.any_card(scene.who[0])
    if card is None or premises.controller_of(door_id) is None:
        return
    async with premises.turns[door_id]:
        reply = await premises.ask(scene.goal, card)
        record = premises.records.get(reply.key)
        if record is not None and reply.outcome != "none":
            _send(stage, judge, scene.kind, reply.key, record, chance)
        if reply.granted:
            await premises.walk_through(door_id, None if reply.alone else reply.key, stage.tempo.swing_s)
            stage.stands(scene.site_id, scene.who[0], stage.places.points[scene.goal].zone_to)


def _send(stage: Stage, judge: Judge, kind: str, key: RequestKey, record: Outgoing, chance: random.Random) -> None:
    if kind in ("reads_twice", "replay"):
        for _ in range(1 if kind == "reads_twice" else 3):
            stage.premises.intrude(record)
        return
    other = Card(kind="card", card_number=STRANGER + str(chance.randrange(10**9)))
    message = record.message.model_copy(update={"factors": (other,)})
    if kind == "reused_number":
        judge.expect_refusal(key, Reason.REPLAYED_REQUEST)
        stage.premises.intrude(stage.premises.signed(message))
        return
    judge.expect_refusal(key, Reason.INVALID_SIGNATURE)
    if kind == "altered":
        stage.premises.intrude(record._replace(value=message.to_json()))
    else:
        headers = tuple(header for header in record.headers if header[0] != MAC_HEADER)
        stage.premises.intrude(record._replace(headers=headers))
