"""A small folder that is sound, to be spoiled by tests one way at a time."""

from __future__ import annotations

from pathlib import Path

from streams.loading.campus import Campus, LoadError, read_campus

SOUND = {
    "site.yaml": """\
id: hq
name: Headquarters
time_zone: Asia/Shanghai
policy: card
holiday_calendars: [cn]
""",
    "zones.yaml": """\
- id: hq
  kind: site
  name: Headquarters
  zones:
    - id: hq-b1
      kind: building
      name: Main building
      zones:
        - {id: hq-lobby, kind: area, name: Lobby, passback: soft}
        - {id: hq-vault, kind: area, name: Vault, special: yes, clearance: 5}
- {id: hq-outside, kind: outside, name: Street}
""",
    "policies.yaml": """\
- id: card
  methods: [card, card + pin]
  operators:
    - {operator: op-7, rights: [unlock]}
- id: biometric
  methods:
    - {kind: fusion, weights: {face: 0.6, fingerprint: 0.4}, threshold: 0.75}
""",
    "holidays.yaml": """\
- id: cn
  name: China
  days:
    - {date: 2027-10-01, name: National Day}
""",
    "schedules.yaml": """\
- id: office
  name: Office hours
  windows:
    - {days: mon-fri, start: 08:00, end: 18:00}
""",
    "devices.csv": "id,name\nhq-c01,Lobby\n",
    "doors.csv": """\
id,name,device,from,to,policy
hq-d01,Main,hq-c01,hq-outside,hq-lobby,
hq-d02,Vault,hq-c01,hq-lobby,hq-vault,biometric
""",
    "cardholders.csv": "id,name,department,clearance\np0017,Wang Fang,Finance,2\np0018,Li Na,Finance,5\n",
    "credentials.csv": """\
id,kind,card_number,cardholder,facility_code
c10000017,card,10000017,p0017,77
c10000018,card,10000018,p0018,77
n0017,pin,,p0017
f0018,face,,p0018
""",
    "pins.csv": "credential,pin,duress_pin\nn0017,4711,9823\n",
    "faces.csv": "credential,model,template\nf0018,arc-4,0.1 -0.2 0.3 0.4\n",
    "permissions.yaml": """\
- id: staff
  departments: [Finance]
  zones: [hq]
  schedule: office
- id: vault-p0018
  cardholder: p0018
  kind: special
  zones: [hq-vault]
""",
    "recipients.yaml": """\
- id: control-room
  addresses:
    - {channel: email, to: room@example.org}
- id: wang
  language: zh
  groups: [head-of-security]
  sites: [hq]
  monitoring: yes
  addresses:
    - {channel: sms, to: +86 10 5550 0199}
    - {channel: webhook, to: "https://hooks.example.org/s3cret"}
""",
    "on-call.yaml": """\
- id: on-call
  time_zone: Asia/Shanghai
  first_day: 2027-01-04
  members: [wang, control-room]
  stand_ins:
    - {recipient: wang, from_at: 2027-10-01 08:00, until_at: 2027-10-08 08:00}
""",
    "subscriptions.yaml": """\
- id: lobby
  recipient: wang
  channel: webhook
  wants: {types: [access_denied], zones: [hq-lobby], doors: [hq-d01]}
  delivery: push
""",
}


def written(folder: Path, **changes: str | None) -> Path:
    """A sound folder but for some files, named as `doors_csv`; None leaves the file out."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str | None] = {**SOUND, **{name.replace("_", "."): text for name, text in changes.items()}}
    for name, text in files.items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder


def problems_of(folder: Path) -> list[str]:
    """All problems of a folder as lines; none where it is sound."""
    try:
        read_campus(folder)
    except LoadError as error:
        return [str(problem) for problem in error.problems]
    return []


def campus_of(folder: Path) -> Campus:
    """The campus of a folder that is sound."""
    return read_campus(folder)
