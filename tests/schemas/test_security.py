"""Keys, signatures and seals."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from schemas import ids, signing
from schemas.keys import derive_key, read_master_secret
from schemas.sealing import Opener, Sealer

MASTER = bytes(range(32))
HEADERS = (("ce_id", b"1"), ("ce_type", b"access_requested"), ("other", b"x"))


def test_a_derived_key_is_what_the_standard_says() -> None:
    info = b"".join(len(p).to_bytes(4, "big") + p for p in (b"doorstream/v1", b"device", b"hq-c01", b"2"))
    reference = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(MASTER)
    assert derive_key(MASTER, "device", "hq-c01", 2) == reference


def test_no_two_devices_roles_or_versions_share_a_key() -> None:
    keys = {derive_key(MASTER, role, id_, v) for role in ("device", "operator") for id_ in ("a", "ab") for v in (1, 11)}
    assert len(keys) == 8


@pytest.mark.parametrize("text", ["", "zz", "00ff", "0" * 33])
def test_a_bad_master_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        read_master_secret(text)


def test_a_signed_message_is_verified() -> None:
    key = derive_key(MASTER, "device", "hq-c01")
    name, mac = signing.sign(key, 3, "access.requests", b"hq", b"{}", HEADERS)
    assert name == "doorstream-mac"
    assert signing.key_version_of(mac) == 3
    assert signing.verify(key, mac, "access.requests", b"hq", b"{}", HEADERS)


@pytest.mark.parametrize(
    ("topic", "record_key", "value", "headers"),
    [
        ("access.backlog", b"hq", b"{}", HEADERS),
        ("access.requests", b"hx", b"{}", HEADERS),
        ("access.requests", b"hq", b"{ }", HEADERS),
        ("access.requests", b"hq", b"{}", HEADERS[1:]),
        ("access.requests", b"hq", b"{}", (*HEADERS, ("ce_time", b"now"))),
        ("access.requests", b"hq", b"{}", (*HEADERS, ("doorstream-nonce", b"1"))),
        ("access.requests", b"", b"hq{}", HEADERS),
    ],
)
def test_any_change_of_what_is_covered_is_found(
    topic: str, record_key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...]
) -> None:
    key = derive_key(MASTER, "device", "hq-c01")
    _, mac = signing.sign(key, 1, "access.requests", b"hq", b"{}", HEADERS)
    assert not signing.verify(key, mac, topic, record_key, value, headers)


@pytest.mark.parametrize("others", [(), (("ce_x", b""),)])
def test_a_covered_header_without_a_value_is_signed_by_nobody(others: Any) -> None:
    key = derive_key(MASTER, "device", "hq-c01")
    _, mac = signing.sign(key, 1, "t", b"k", b"v", [("ce_x", b""), *others])
    null: Any = ("ce_x", None)
    assert not signing.verify(key, mac, "t", b"k", b"v", [null, *others])
    assert signing.verify(key, mac, "t", b"k", b"v", [("ce_x", b""), *others, ("other", null[1])])


def test_headers_that_are_not_covered_may_change() -> None:
    key = derive_key(MASTER, "device", "hq-c01")
    _, mac = signing.sign(key, 1, "t", b"k", b"v", HEADERS)
    assert signing.verify(key, mac, "t", b"k", b"v", (*HEADERS, ("doorstream-position", b"site/1/2/3/4")))


@pytest.mark.parametrize("header", [None, b"", b"v1", b"v2:1:00", b"v1:x:00", b"v1:1:00:00", b"v1:9999999999:00"])
def test_a_malformed_header_names_no_key(header: bytes | None) -> None:
    assert signing.key_version_of(header) is None


@given(st.binary(max_size=200))
def test_what_is_sealed_is_opened(content: bytes) -> None:
    assert Opener(MASTER).open(Sealer.of_master(MASTER).seal(content)) == content


def test_a_seal_for_another_role_is_not_opened() -> None:
    sealed = Sealer.of_master(bytes(32)).seal(b"4711")
    with pytest.raises(ValueError, match="cannot be opened") as refused:
        Opener(MASTER).open(sealed)
    assert "4711" not in str(refused.value)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_ids_differ_where_their_causes_do(one: list[str], other: list[str]) -> None:
    assert (ids.derive("k", *one) == ids.derive("k", *other)) == (one == other)


def test_an_id_is_a_uuid_of_version_8() -> None:
    import uuid  # noqa: PLC0415 - only to check the form

    assert uuid.UUID(ids.request_id("hq-c01", 7, 1042)).version == 8
    assert ids.request_id("hq-c01", 7, 1042) == "77730663-de93-8b81-8d14-6bd8d2616342"
