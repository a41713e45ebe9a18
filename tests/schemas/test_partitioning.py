from __future__ import annotations

from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from schemas.partitioning import murmur2, partition_of


@given(st.binary(max_size=200))
def test_murmur2_is_kafkas(data: bytes) -> None:
    assert murmur2(data) == reference(data) & 0xFFFFFFFF


def test_known_keys_stay_where_they_are() -> None:
    assert [partition_of(site, 12) for site in ("hq", "plant-1", "")] == [3, partition_of(b"plant-1", 12), 9]


@given(st.text(max_size=50), st.integers(1, 100))
def test_text_and_its_bytes_meet(key: str, count: int) -> None:
    assert 0 <= partition_of(key, count) == partition_of(key.encode(), count) < count
