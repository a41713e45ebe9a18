"""What is wrong with a folder is told with file and line, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.loading.campus import read_campus
from tests.loading.folders import SOUND, problems_of, written
from tests.loading.mistakes import WRONG


def _spoiled(folder: Path, file: str, old: str, new: str) -> list[str]:
    assert old in SOUND[file]
    return problems_of(written(folder, **{file.replace(".", "_"): SOUND[file].replace(old, new, 1)}))


@pytest.mark.parametrize("case", WRONG)
def test_every_mistake_is_told_with_its_place(case: str, tmp_path: Path) -> None:
    file, old, new, expected = WRONG[case]
    assert expected in _spoiled(tmp_path, file, old, new)


def test_everything_wrong_is_told_at_once_in_the_order_of_the_files(tmp_path: Path) -> None:
    found = problems_of(
        written(
            tmp_path,
            doors_csv=SOUND["doors.csv"].replace("hq-c01", "hq-c77"),
            credentials_csv=SOUND["credentials.csv"].replace("p0018", "p0081"),
            site_yaml=SOUND["site.yaml"].replace("policy: card", "policy: none"),
        )
    )
    assert [line.split(":")[0] for line in found] == ["credentials.csv"] * 2 + ["doors.csv"] * 2 + ["site.yaml"]


def test_a_record_that_cannot_be_read_is_not_missed_where_it_is_named(tmp_path: Path) -> None:
    found = _spoiled(tmp_path, "cardholders.csv", "Finance,2", "Finance,9")
    assert found == ["cardholders.csv:2: cardholder p0017: clearance: input should be less than or equal to 7, not '9'"]


def test_zones_that_lie_in_each_other_are_told(tmp_path: Path) -> None:
    zones = """\
id,kind,name,parent
hq,site,Headquarters,
hq-a,floor,A,hq-b
hq-b,floor,B,hq-c
hq-c,floor,C,hq-a
hq-lobby,area,Lobby,hq
hq-vault,area,Vault,hq
hq-outside,outside,Street,
"""
    found = problems_of(written(tmp_path, zones_yaml=None, zones_csv=zones))
    assert found == [
        "zones.csv:3: zone hq-a: lies in itself: hq-a > hq-b > hq-c > hq-a",
        "zones.csv:4: zone hq-b: lies in itself: hq-b > hq-c > hq-a > hq-b",
        "zones.csv:5: zone hq-c: lies in itself: hq-c > hq-a > hq-b > hq-c",
    ]


def test_a_zone_of_another_site_is_told(tmp_path: Path) -> None:
    site = """\
- {id: hq, name: Headquarters, time_zone: Asia/Shanghai, policy: card, holiday_calendars: [cn]}
- {id: works, name: Works, time_zone: Asia/Shanghai, policy: card}
"""
    zones = SOUND["zones.yaml"].replace("- id: hq\n  kind", "- id: hq\n  site: hq\n  kind")
    zones = zones.replace("{id: hq-outside", "{id: hq-outside, site: hq")
    zones += "- {id: works, site: works, kind: site, name: Works}\n"
    doors = "id,name,device,site,from,to\nhq-d01,Main,hq-c01,hq,works,hq-lobby\n"
    devices = "id,name,site\nhq-c01,Lobby,hq\n"
    permissions = "- {id: one, cardholder: p0017, site: works, zones: [hq-lobby]}\n"
    found = problems_of(
        written(
            tmp_path,
            site_yaml=site,
            zones_yaml=zones,
            doors_csv=doors,
            devices_csv=devices,
            permissions_yaml=permissions,
            **{"recipients_yaml": None, "on-call_yaml": None, "subscriptions_yaml": None},
        )
    )
    assert found == [
        "doors.csv:2: access-point hq-d01-in: zone_from: zone works is of site works, not hq",
        "doors.csv:2: access-point hq-d01-out: zone_to: zone works is of site works, not hq",
        "permissions.yaml:1: permission one: zones: zone hq-lobby is of site hq, not works",
    ]


def test_a_file_that_is_no_utf_8_is_told_with_the_line(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "devices.csv").write_bytes(b"id,name\nhq-c01,Eingang S\xfcd\n")
    assert "devices.csv:2: is not UTF-8: save the file as UTF-8" in problems_of(folder)


def test_a_file_of_an_unknown_name_is_told(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "door.csv").write_text("id\n")
    (folder / "people.xlsx").write_bytes(b"")
    (folder / "README.md").write_text("for people")
    assert problems_of(folder) == [
        "door.csv: is not known - did you mean doors?",
        "people.xlsx: is neither .yaml nor .csv: move it elsewhere",
    ]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    assert problems_of(tmp_path) == [f"{tmp_path}: holds no reference data: copy deploy/campus to begin with"]


def test_a_folder_without_a_site_is_told(tmp_path: Path) -> None:
    (tmp_path / "devices.csv").write_text("# none yet\nid,name\n")
    assert problems_of(tmp_path) == [f"{tmp_path}: has no site.yaml: a campus is at least one site"]


def test_a_folder_that_is_not_there_is_no_problem_of_files(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        read_campus(tmp_path / "none")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Asia/Shanghai", "Asia/Shangai", "site hq: time_zone: 'Asia/Shangai' is no IANA time zone"),
        ("name: Headquarters\n", "", "site hq: name: field required"),
    ],
)
def test_what_is_wrong_with_the_site_is_told_alone(old: str, new: str, says: str, tmp_path: Path) -> None:
    (found,) = _spoiled(tmp_path, "site.yaml", old, new)
    assert says in found


def test_a_site_without_an_id_is_missed_only_by_who_names_it(tmp_path: Path) -> None:
    assert _spoiled(tmp_path, "site.yaml", "id: hq\n", "") == [
        "recipients.yaml:7: recipient wang: sites: there is no site hq",
        "site.yaml:1: site: id: field required",
    ]
