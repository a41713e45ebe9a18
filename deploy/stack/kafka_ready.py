"""When a broker counts as ready: it answers a metadata request and names itself as it was told to."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from deploy.stack.model import HOST
from deploy.stack.processes import until_listening

_POLL_S = 0.1


async def broker_ready(port: int) -> None:
    """Wait until an aiokafka metadata request is answered by the broker on this port."""
    # Imported here: a second of every process that only wants to look at a stack's record.
    from aiokafka.client import AIOKafkaClient  # noqa: PLC0415
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    await until_listening(port)
    logger = logging.getLogger("aiokafka")
    disabled = logger.disabled
    while True:
        client = AIOKafkaClient(bootstrap_servers=f"{HOST}:{port}", request_timeout_ms=3000)
        logger.disabled = True  # a broker that is not there yet is no error
        try:
            await client.bootstrap()
            if any(broker.port == port and broker.host == HOST for broker in client.cluster.brokers()):
                return
        except (TimeoutError, KafkaError, OSError):
            pass
        finally:
            logger.disabled = disabled
            with contextlib.suppress(KafkaError, OSError):
                await client.close()
        await asyncio.sleep(_POLL_S)
