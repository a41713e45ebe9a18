"""Reference records count only when the administration wrote them, and only once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemas.keys import ADMINISTRATION, OPERATOR, administration_key, derive_key
from schemas.record import Headers, Record
from schemas.signing import MAC_HEADER, NONCE_HEADER, NOT_AFTER_HEADER, sign
from streams.core.reference_tables import tables

MASTER = bytes(range(32))
TOPIC, KEY, VALUE = "reference.permission", b"perm-1", b'{"type":"permission"}'
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def until(minutes: float) -> bytes:
    return (NOW + timedelta(minutes=minutes)).isoformat().encode()


def record(
    key: bytes = administration_key(MASTER),
    *,
    end: bytes = until(10),
    without: str = "",
    value: bytes | None = VALUE,
    published_as: bytes | None = VALUE,
) -> Record:
    headers: Headers = ((NOT_AFTER_HEADER, end), (NONCE_HEADER, b"once"))
    headers = tuple(header for header in headers if header[0] != without)
    mac = sign(key, 1, TOPIC, KEY, value, headers)
    signed = headers if without == MAC_HEADER else (*headers, mac)
    return Record(TOPIC, 0, 7, KEY, published_as if value is not None else None, signed, NOW_MS)


def authenticate(given: Record) -> int | None:
    (check,) = [table.authenticate for table in tables(MASTER) if table.topic == TOPIC]
    assert check is not None
    return check(given)


def test_what_the_administration_signed_counts_until_its_end() -> None:
    assert authenticate(record()) == NOW_MS + 600_000


def test_a_removal_is_signed_too() -> None:
    assert authenticate(record(value=None)) is not None


@pytest.mark.parametrize("name", [MAC_HEADER, NOT_AFTER_HEADER, NONCE_HEADER])
def test_without_one_of_the_three_headers_nothing_counts(name: str) -> None:
    assert authenticate(record(without=name)) is None


@pytest.mark.parametrize("role", [OPERATOR, "device", "master"])
def test_another_roles_key_does_not_count(role: str) -> None:
    assert authenticate(record(derive_key(MASTER, role, "reference"))) is None


def test_another_master_secret_does_not_count() -> None:
    assert authenticate(record(derive_key(bytes(32), ADMINISTRATION, "reference"))) is None


def test_an_altered_value_does_not_count() -> None:
    assert authenticate(record(published_as=b'{"type":"permission","zone_ids":["vault"]}')) is None


@pytest.mark.parametrize("end", [b"soon", b"", b"\xff", b"2026-13-01T00:00:00+00:00"])
def test_an_end_that_is_no_time_does_not_count(end: bytes) -> None:
    assert authenticate(record(end=end)) is None


def test_an_end_far_ahead_is_that_of_a_clock_gone_wrong() -> None:
    assert authenticate(record(end=until(61))) is None
    assert authenticate(record(end=until(59))) is not None


def test_without_a_master_secret_nothing_is_asked_for() -> None:
    assert {table.authenticate for table in tables()} == {None}
