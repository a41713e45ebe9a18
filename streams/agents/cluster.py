"""The cluster's topics against `topics.yaml`: what is missing or differs, and making it so. Nothing is ever deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from schemas.topics import Topic
from streams.engine.kafka_cluster import ensure_incarnation
from streams.engine.kafka_log import JOURNAL_SUFFIX
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.kafka_topics import make_topics


class Difference(NamedTuple):
    """What `apply` would do to a topic; `conflict` is what nothing but a person can mend."""

    topic: str
    action: Literal["create", "configure", "conflict"]
    detail: str


class Wanted(NamedTuple):
    """A topic as the cluster should have it."""

    name: str
    partitions: int
    configs: dict[str, str]


def wanted(topic: Topic, partitions: int) -> Wanted:
    """A registry topic in the broker's terms. `partitions` is the count of the topics by site."""
    configs: dict[str, str] = {"cleanup.policy": topic.cleanup}
    if topic.cleanup == "delete":
        configs["retention.ms"] = str(topic.retention_ms)
    elif topic.retention_ms > 0:
        # Every version of a reference record is kept for the audit period before compaction may take it.
        configs["min.compaction.lag.ms"] = str(topic.retention_ms)
    if topic.max_bytes is not None:
        configs["max.message.bytes"] = str(topic.max_bytes)
    stamped = {"controllers", "operators", "monitoring", "administration"}
    if not stamped.isdisjoint(topic.writers) or topic.name.endswith((JOURNAL_SUFFIX, ".global")):
        # The age of a request, and whether a signature had ended, are measured from the broker's stamp, never from the
        # sender's clock; and a worker's clock is judged by the stamps of what it journals.
        configs["message.timestamp.type"] = "LogAppendTime"
    count = partitions if topic.partitions == "site" else topic.partitions
    return Wanted(topic.name, count, configs)


class Cluster:
    """A cluster's topics. Use as `async with Cluster(options) as cluster`; options as aiokafka clients take them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._settings = KafkaSettings.of(options)
        self._admin = AIOKafkaAdminClient(**options)

    async def __aenter__(self) -> Self:
        await self._admin.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._admin.close()

    async def partitions(self) -> dict[str, int]:
        """The partition count of every topic that exists."""
        names = await self._admin.list_topics()
        described = await self._admin.describe_topics(list(names)) if names else []
        return {row["topic"]: len(row["partitions"]) for row in described}

    async def configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """The configuration of topics; empty where the broker does not tell."""
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        try:
            answers = await self._admin.describe_configs(resources)
        except (KafkaError, ValueError, NotImplementedError):
            return {}
        found: dict[str, dict[str, str]] = {}
        for answer in answers:
            for _code, _message, _kind, name, entries in answer.resources:
                found[name] = {entry[0]: entry[1] for entry in entries}
        return found

    async def plan(self, topics: Mapping[str, Topic], partitions: int) -> list[Difference]:
        """What differs, in the order of the registry."""
        have = await self.partitions()
        configs = await self.configs([name for name in topics if name in have])
        plan: list[Difference] = []
        for topic in topics.values():
            want = wanted(topic, partitions)
            if want.name not in have:
                settings = " ".join(f"{k}={v}" for k, v in want.configs.items())
                plan.append(Difference(want.name, "create", f"{want.partitions} partitions, {settings}"))
                continue
            if have[want.name] != want.partitions:
                detail = (
                    f"has {have[want.name]} partitions, not {want.partitions}: the count is fixed when topics are "
                    "made; set DOORSTREAM_PARTITIONS to the cluster's"
                )
                plan.append(Difference(want.name, "conflict", detail))
            known = configs.get(want.name, {})
            changed = {k: v for k, v in want.configs.items() if k in known and known[k] != v}
            if changed:
                detail = " ".join(f"{k}: {known[k]} -> {v}" for k, v in changed.items())
                plan.append(Difference(want.name, "configure", detail))
        return plan

    async def apply(self, topics: Mapping[str, Topic], partitions: int, replication: int) -> list[Difference]:
        """Carry the plan out (conflicts excepted) and write the cluster's incarnation once; gives the plan.

        Raises:
            ClusterError: the topics that were missing have no leader, though they are made.
        """
        plan = await self.plan(topics, partitions)
        create = [wanted(topics[d.topic], partitions) for d in plan if d.action == "create"]
        if create:
            new = [NewTopic(w.name, w.partitions, replication, topic_configs=w.configs) for w in create]
            await make_topics(self._settings, new)
        for difference in plan:
            if difference.action == "configure":
                await self._configure(wanted(topics[difference.topic], partitions))
        if not any(d.action == "conflict" for d in plan):
            await ensure_incarnation(self._settings)
        return plan

    async def _configure(self, want: Wanted) -> None:
        await self._admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, want.name, configs=want.configs)])
