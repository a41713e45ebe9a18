"""Loading against a broker: what is written, what is not written again, and what is removed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.keys import administration_key
from schemas.record import Record
from schemas.reference import BY_NAME, ENTITIES
from schemas.sealing import Opener
from schemas.signing import MAC_HEADER, NONCE_HEADER, NOT_AFTER_HEADER, verify
from streams.commands.running import CommandError
from streams.core.reference_tables import tables
from streams.engine.kafka_reading import now_ms, to_records
from streams.engine.reference_table import Table
from streams.loading.campus import Campus, copies, read_campus
from streams.loading.plan import Counts
from streams.signed import Event, signed_headers
from tests.loading.conftest import MASTER, Topics
from tests.loading.folders import SOUND, written

pytestmark = pytest.mark.kafka


def _total(counts: dict[str, Counts]) -> Counts:
    return Counts(*(sum(numbers) for numbers in zip(*counts.values(), strict=True)))


def test_a_first_load_publishes_every_record_signed_by_the_administration(topics: Topics, tmp_path: Path) -> None:
    campus = read_campus(written(tmp_path))
    counts = topics.load(campus)
    assert _total(counts) == Counts(new=sum(map(len, campus.records.values())) + 2)
    key = administration_key(MASTER)
    records = topics.records()
    nonces = {dict(record.headers)[NONCE_HEADER] for record in records}
    assert len(nonces) == len(records) == _total(counts).new
    for record in records:
        headers = dict(record.headers)
        assert verify(key, headers[MAC_HEADER], record.topic, record.key, record.value, record.headers)
        assert headers[NOT_AFTER_HEADER] > headers["ce_time"]
        assert headers["ce_source"] == b"/administration/hq"
        assert headers["ce_type"].decode() == json.loads(record.value)["type"]


def test_what_was_published_is_what_the_folder_says(topics: Topics, tmp_path: Path) -> None:
    campus = read_campus(written(tmp_path))
    topics.load(campus)
    for name, wanted in campus.records.items():
        found = {r.key.decode(): BY_NAME[name].model.model_validate_json(r.value) for r in topics.records(name)}
        assert found == wanted


def test_a_second_load_publishes_nothing(topics: Topics, tmp_path: Path) -> None:
    campus = read_campus(written(tmp_path))
    first = _total(topics.load(campus))
    again = _total(topics.load(campus))
    assert again == Counts(unchanged=first.new)
    assert len(topics.records()) == first.new


def test_a_dry_run_says_what_would_change_and_writes_nothing(topics: Topics, tmp_path: Path) -> None:
    counts = topics.load(read_campus(written(tmp_path)), dry_run=True)
    assert counts["zone"].new == 5
    assert topics.records() == []


def test_what_changed_is_written_and_nothing_else(topics: Topics, tmp_path: Path) -> None:
    topics.load(read_campus(written(tmp_path)))
    changed = SOUND["cardholders.csv"].replace("Li Na,Finance,5", "Li Na,Finance,6")
    counts = topics.load(read_campus(written(tmp_path, cardholders_csv=changed)))
    assert counts["cardholder"] == Counts(changed=1, unchanged=1)
    assert _total(counts)[:3] == (0, 1, 0)
    assert [json.loads(r.value)["clearance"] for r in topics.records("cardholder")][2:] == [6]


def test_what_is_gone_is_removed_and_its_secret_too(topics: Topics, tmp_path: Path) -> None:
    topics.load(read_campus(written(tmp_path)))
    without = SOUND["credentials.csv"].replace("n0017,pin,,p0017\n", "")
    counts = topics.load(read_campus(written(tmp_path, credentials_csv=without, pins_csv="credential,pin\n")))
    assert (counts["credential"].removed, counts["secret"].removed) == (1, 1)
    last = {(r.topic, r.key): r.value for r in topics.records("credential", "secret")}
    removed = {key for (_, key), value in last.items() if value is None}
    assert removed == {b"n0017"}
    assert _total(topics.load(read_campus(tmp_path)))[:3] == (0, 0, 0)


def test_a_removal_is_signed_like_any_record(topics: Topics, tmp_path: Path) -> None:
    topics.load(read_campus(written(tmp_path)))
    topics.load(read_campus(written(tmp_path, cardholders_csv=SOUND["cardholders.csv"] + "p0019,Zhao Wei,Finance\n")))
    topics.load(read_campus(written(tmp_path)))
    removed = [record for record in topics.records("cardholder") if record.value is None]
    assert [record.key for record in removed] == [b"p0019"]
    (record,) = removed
    key = administration_key(MASTER)
    assert verify(key, dict(record.headers)[MAC_HEADER], record.topic, record.key, None, record.headers)


def test_a_changed_pin_is_sealed_anew_and_an_unchanged_one_is_not(topics: Topics, tmp_path: Path) -> None:
    topics.load(read_campus(written(tmp_path)))
    counts = topics.load(read_campus(written(tmp_path, pins_csv="credential,pin,duress_pin\nn0017,4711,9824\n")))
    assert counts["secret"] == Counts(changed=1, unchanged=1)
    counts = topics.load(read_campus(written(tmp_path, pins_csv="credential,pin,duress_pin\nn0017,4711\n")))
    assert counts["secret"] == Counts(changed=1, unchanged=1)


def test_a_changed_template_is_sealed_anew(topics: Topics, tmp_path: Path) -> None:
    topics.load(read_campus(written(tmp_path)))
    faces = "credential,model,template\nf0018,arc-4,0.1 -0.2 0.3 0.5\n"
    assert topics.load(read_campus(written(tmp_path, faces_csv=faces)))["secret"] == Counts(changed=1, unchanged=1)


def test_secrets_are_sealed_and_in_no_other_topic(
    topics: Topics, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pins = "credential,pin,duress_pin\nn0017,471190283655,982364770215\n"
    topics.load(read_campus(written(tmp_path, pins_csv=pins)))
    captured = capfd.readouterr()
    for record in topics.records():
        for shown in (record.value, repr(record.headers).encode(), captured.out.encode(), captured.err.encode()):
            for secret in (b"471190283655", b"982364770215", b"-0.2,", b"argon2"):
                assert secret not in shown, record.topic
    opener = Opener(MASTER)
    boxes = {r.key: json.loads(opener.open(json.loads(r.value)["sealed"])) for r in topics.records("secret")}
    assert boxes[b"f0018"] == {"templates": [[0.1, -0.2, 0.3, 0.4]], "model": "arc-4"}
    assert boxes[b"n0017"]["pin_hash"].startswith("$argon2id$")
    assert "471190283655" not in str(boxes)


def test_a_record_that_somebody_else_wrote_over_is_put_right(topics: Topics, tmp_path: Path) -> None:
    campus = read_campus(written(tmp_path))
    topics.load(campus)
    forged = campus.records["cardholder"]["p0017"].model_copy(update={"clearance": 7})
    topics.write("cardholder", "p0017", forged.to_json(), [("ce_source", b"/administration/hq")])
    assert topics.load(campus)["cardholder"] == Counts(changed=1, unchanged=1)
    assert json.loads(topics.records("cardholder")[-1].value)["clearance"] == 2


def test_a_right_record_without_a_mac_is_signed(topics: Topics, tmp_path: Path) -> None:
    campus = read_campus(written(tmp_path))
    topics.load(campus)
    topics.write("zone", "hq-b1", campus.records["zone"]["hq-b1"].to_json(), [("ce_source", b"/administration/hq")])
    assert topics.load(campus)["zone"] == Counts(changed=1, unchanged=4)


def test_what_the_decide_role_counts_is_what_the_folder_says(topics: Topics, tmp_path: Path) -> None:
    topics.load(read_campus(written(tmp_path)))
    changed = SOUND["cardholders.csv"].replace("Li Na,Finance,5", "Li Na,Finance,6")
    campus = read_campus(written(tmp_path, cardholders_csv=changed))
    topics.load(campus)
    table = next(table for table in tables(MASTER) if table.entity == "cardholder")
    refused: list[Record] = []
    counted = Table(table, refused.append, stamps=True)
    for record in to_records(topics.records("cardholder"), now_ms()):
        counted.apply(record, record.timestamp_ms)
    assert refused == []
    assert {id_: counted.decoded(row) for id_, row in counted.rows.items()} == campus.records["cardholder"]


def test_an_old_version_that_is_published_again_is_put_right(topics: Topics, tmp_path: Path) -> None:
    topics.load(read_campus(written(tmp_path)))
    old = next(record for record in topics.records("cardholder") if record.key == b"p0018")
    changed = SOUND["cardholders.csv"].replace("Li Na,Finance,5", "Li Na,Finance,6")
    campus = read_campus(written(tmp_path, cardholders_csv=changed))
    topics.load(campus)
    topics.write("cardholder", "p0018", old.value, list(old.headers))
    assert topics.load(campus)["cardholder"] == Counts(changed=1, unchanged=1)
    topics.write("cardholder", "p0018", old.value, list(old.headers))
    assert topics.load(read_campus(written(tmp_path)))["cardholder"] == Counts(changed=1, unchanged=1)


def test_who_loads_with_a_clock_that_is_behind_is_not_taken_for_a_repeat(topics: Topics, tmp_path: Path) -> None:
    campus = read_campus(written(tmp_path))
    topics.load(campus)
    ahead = datetime.now(UTC) + timedelta(minutes=40)
    cardholder = campus.records["cardholder"]["p0018"].model_copy(update={"clearance": 6})
    key, topic, value = administration_key(MASTER), f"{topics.prefix}reference.cardholder", cardholder.to_json()
    event = Event("1", "/administration/hq", "cardholder", ahead.isoformat())
    topics.write("cardholder", "p0018", value, signed_headers(key, event, topic, b"p0018", value, ahead))
    assert topics.load(campus)["cardholder"] == Counts(changed=1, unchanged=1)
    last = dict(topics.records("cardholder")[-1].headers)
    assert datetime.fromisoformat(last[NOT_AFTER_HEADER].decode()) > ahead - timedelta(milliseconds=1)
    assert topics.load(campus)["cardholder"] == Counts(unchanged=2)


def test_another_folder_and_another_system_keep_what_they_loaded(topics: Topics, tmp_path: Path) -> None:
    hq, other = _two_campuses(tmp_path)
    topics.load(hq)
    topics.load(other)
    topics.write("cardholder", "from-hr", b'{"type":"cardholder","cardholder_id":"from-hr","name":"A"}', [])
    assert _total(topics.load(hq))[:3] == (0, 0, 0)
    assert _total(topics.load(other))[:3] == (0, 0, 0)


def test_an_id_of_another_folder_is_not_taken_from_it(topics: Topics, tmp_path: Path) -> None:
    _, other = _two_campuses(tmp_path)
    topics.load(other)
    before = len(topics.records())
    clash = SOUND["cardholders.csv"] + "p0017-2,Somebody Else,Finance\n"
    campus = read_campus(written(tmp_path / "clash", cardholders_csv=clash))
    with pytest.raises(CommandError, match="2 ids belong to other folders"):
        topics.load(campus)
    assert len(topics.records()) == before


def test_a_folder_that_is_the_whole_truth_removes_all_else(topics: Topics, tmp_path: Path) -> None:
    hq, other = _two_campuses(tmp_path)
    topics.load(other)
    topics.load(hq, whole=True)
    assert set(_there(topics)["site"]) == {"hq"}
    assert set(_there(topics)["cardholder"]) == {"p0017", "p0018"}


def test_a_site_that_leaves_its_folder_is_removed_with_all_it_has(topics: Topics, tmp_path: Path) -> None:
    campus = read_campus(written(tmp_path))
    topics.load(copies(campus, 3))
    topics.load(campus)
    assert {name: len(found) for name, found in _there(topics).items() if name != "secret"} == {
        name: len(found) for name, found in campus.records.items()
    }


def test_rights_that_change_with_other_things_are_withdrawn_before(topics: Topics, tmp_path: Path) -> None:
    topics.load(read_campus(written(tmp_path)))
    before = len(topics.records("permission"))
    zones = SOUND["zones.yaml"].replace("clearance: 5", "clearance: 6")
    permissions = SOUND["permissions.yaml"].replace("zones: [hq-vault]", "zones: [hq-lobby, hq-vault]")
    topics.load(read_campus(written(tmp_path, zones_yaml=zones, permissions_yaml=permissions)))
    written_now = [json.loads(record.value) for record in topics.records("permission")][before:]
    assert [(p["permission_id"], p["status"], p["zone_ids"]) for p in written_now] == [
        ("vault-p0018", "revoked", ["hq-vault"]),
        ("vault-p0018", "active", ["hq-lobby", "hq-vault"]),
    ]


def _two_campuses(tmp_path: Path) -> tuple[Campus, Campus]:
    hq = read_campus(written(tmp_path / "hq"))
    two = copies(hq, 2)
    own = {
        name: {id_: record for id_, record in found.items() if id_ not in hq.records[name]}
        for name, found in two.records.items()
    }
    return hq, Campus(own, {"n0017-2": two.pins["n0017-2"]}, {"f0018-2": two.templates["f0018-2"]})


def _there(topics: Topics) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {entity.name: {} for entity in ENTITIES}
    names = {topics.prefix + entity.topic: entity.name for entity in ENTITIES}
    for record in topics.records():
        found[names[record.topic]].pop(record.key.decode(), None)
        if record.value is not None:
            found[names[record.topic]][record.key.decode()] = record.value
    return found
