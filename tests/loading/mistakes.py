"""Mistakes in files, one by one: the file, what is replaced by what, and the line that tells it."""

from __future__ import annotations

from typing import get_args

from schemas.rules import Right

_RIGHTS = [f"'{right}'" for right in get_args(Right)]

WRONG: dict[str, tuple[str, str, str, str]] = {
    "an unknown key of YAML": (
        "zones.yaml",
        "      kind: building\n",
        "      kind: building\n      clearence: 2\n",
        "zones.yaml:7: zone hq-b1: clearence is not known - did you mean clearance?",
    ),
    "an unknown key inside a rule": (
        "zones.yaml",
        "passback: soft",
        "passback: {enforcement: soft, timeout: 5}",
        "zones.yaml:9: zone hq-lobby: timeout is not known - known are enforcement, presence_timeout_s",
    ),
    "an unknown column": (
        "devices.csv",
        "id,name",
        "id,nam",
        "devices.csv:2: device hq-c01: nam is not known - did you mean name?",
    ),
    "a wrong number": (
        "doors.csv",
        "policy\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,",
        "policy,access_time_s\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,,500",
        "doors.csv:2: door hq-d01: access_time_s: input should be less than or equal to 120, not '500'",
    ),
    "a word that is none of a list": (
        "zones.yaml",
        "passback: soft",
        "passback: softly",
        "zones.yaml:9: zone hq-lobby: passback: input should be 'off', 'soft' or 'hard', not 'softly'",
    ),
    "a time that is none": (
        "schedules.yaml",
        "08:00",
        "8:00",
        (
            r"schedules.yaml:4: schedule office: windows[1].start: "
            r"string should match pattern '^([01]\d|2[0-3]):[0-5]\d$|^24:00$', not '8:00'"
        ),
    ),
    "a weekday that is none": (
        "schedules.yaml",
        "mon-fri",
        "mon-fryday",
        (
            "schedules.yaml:4: schedule office: windows[1].days[1]: "
            "input should be 'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun', not 'mon-fryday'"
        ),
    ),
    "an unknown time zone": (
        "site.yaml",
        "Asia/Shanghai",
        "Asia/Shangai",
        (
            "site.yaml:3: site hq: time_zone: 'Asia/Shangai' is no IANA time zone, such as Europe/Berlin or "
            "Asia/Shanghai"
        ),
    ),
    "weights that don't add up": (
        "policies.yaml",
        "0.6",
        "0.7",
        "policies.yaml:7: policy biometric: methods[1]: the weights of a fusion must add up to 1",
    ),
    "a missing field": ("site.yaml", "name: Headquarters\n", "", "site.yaml:1: site hq: name: field required"),
    "an id that is there already": (
        "devices.csv",
        "hq-c01,Lobby\n",
        "hq-c01,Lobby\nhq-c01,Again\n",
        "devices.csv:3: device hq-c01 is there already (devices.csv:2)",
    ),
    "a card number that is there already": (
        "credentials.csv",
        "c10000018,card,10000018",
        "c10000018,card,10000017",
        "credentials.csv:3: credential c10000018: card_number 10000017 is that of c10000017 already",
    ),
    "a card without a number": (
        "credentials.csv",
        "c10000018,card,10000018",
        "c10000018,card,",
        "credentials.csv:3: credential c10000018: a card needs a card_number",
    ),
    "a site's policy that is not there": (
        "site.yaml",
        "policy: card",
        "policy: crad",
        "site.yaml:4: site hq: policy: there is no policy crad - did you mean card?",
    ),
    "a holiday calendar that is not there": (
        "site.yaml",
        "[cn]",
        "[xy]",
        "site.yaml:5: site hq: holiday_calendars: there is no holiday-calendar xy",
    ),
    "a device that is not there": (
        "doors.csv",
        "hq-d02,Vault,hq-c01",
        "hq-d02,Vault,hq-c09",
        "doors.csv:3: door hq-d02: device: there is no device hq-c09 - did you mean hq-c01?",
    ),
    "a zone that is not there": (
        "doors.csv",
        "hq-lobby,hq-vault",
        "hq-lobby,hq-volt",
        "doors.csv:3: access-point hq-d02-in: zone_to: there is no zone hq-volt - did you mean hq-vault?",
    ),
    "a door that leads nowhere": (
        "doors.csv",
        "hq-c01,hq-outside,hq-lobby,",
        "hq-c01,hq-outside",
        "doors.csv:2: door hq-d01: to: a door leads from one zone to another",
    ),
    "a door without zones": (
        "doors.csv",
        "hq-c01,hq-outside,hq-lobby,",
        "hq-c01",
        "doors.csv:2: door hq-d01: nobody can enter: give `from` and `to`, or an access point of direction entry",
    ),
    "a cardholder that is not there": (
        "credentials.csv",
        "10000017,p0017",
        "10000017,q0017",
        "credentials.csv:2: credential c10000017: cardholder: there is no cardholder q0017 - did you mean p0017?",
    ),
    "a department with nobody": (
        "permissions.yaml",
        "[Finance]",
        "[Finanse]",
        "permissions.yaml:2: department Finanse has nobody - did you mean Finance?",
    ),
    "a schedule that is not there": (
        "permissions.yaml",
        "schedule: office",
        "schedule: off",
        "permissions.yaml:4: permission staff/p0017: schedule: there is no schedule off - did you mean office?",
    ),
    "a permission for nothing": (
        "permissions.yaml",
        "  zones: [hq-vault]\n",
        "",
        "permissions.yaml:5: permission vault-p0018: names nothing: give zones, doors or access_points",
    ),
    "a temporary permission without an end": (
        "permissions.yaml",
        "kind: special",
        "kind: temporary",
        "permissions.yaml:7: permission vault-p0018: a temporary permission needs valid_until",
    ),
    "an end before the beginning": (
        "permissions.yaml",
        "  kind: special",
        "  valid_from: 2027-02-02\n  valid_until: 2027-02-01",
        "permissions.yaml:8: permission vault-p0018: valid_until is not after valid_from",
    ),
    "two trees of zones": (
        "zones.yaml",
        "- {id: hq-outside",
        "- {id: other, kind: site, name: Other}\n- {id: hq-outside",
        "site.yaml:1: site hq: has 2 roots of zones: zones are one tree below one zone of kind site",
    ),
    "a zone that lies nowhere": (
        "zones.yaml",
        "kind: outside",
        "kind: area",
        "zones.yaml:11: zone hq-outside: a zone of kind area lies in another one: give its parent",
    ),
    "a zone that is full from the beginning": (
        "zones.yaml",
        "passback: soft",
        "occupancy: hard",
        "zones.yaml:9: zone hq-lobby: occupancy: a limit of 0 lets nobody in: give the limit",
    ),
    "controlled egress without the delay": (
        "doors.csv",
        "policy\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,",
        "policy,egress\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,,controlled",
        (
            "doors.csv:2: door hq-d01: a door with controlled egress needs delayed_egress: "
            "after how many seconds it opens all the same"
        ),
    ),
    "an interlock of one door": (
        "doors.csv",
        "policy\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,",
        "policy,interlock.group\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,,trap",
        "doors.csv:2: door hq-d01: interlock group trap has this one door: it takes two",
    ),
    "a plan against threats that is not there": (
        "policies.yaml",
        "    - {operator: op-7, rights: [unlock]}\n",
        "    - {operator: op-7, rights: [unlock]}\n  threats:\n    plan: intruder\n",
        "policies.yaml:6: policy card: threats: plan intruder is none of policy card: lockdown",
    ),
    "plans that leave out the one against threats": (
        "policies.yaml",
        "    - {operator: op-7, rights: [unlock]}\n",
        "    - {operator: op-7, rights: [unlock]}\n  lockdowns:\n    - plan: intruder\n",
        "policies.yaml:1: policy card: threats: plan lockdown is none of policy card: intruder",
    ),
    "a timetable that is not there": (
        "doors.csv",
        "policy\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,",
        "policy,unlock_schedule\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,,offic",
        "doors.csv:2: door hq-d01: unlock_schedule: there is no schedule offic - did you mean office?",
    ),
    "a timetable of an interlocked door": (
        "doors.csv",
        "policy\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,",
        "policy,unlock_schedule,interlock.group\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,,office,trap",
        "doors.csv:2: door hq-d01: unlock_schedule: an interlocked door must not stand unlocked",
    ),
    "a timetable of a door that leads into a special zone": (
        "doors.csv",
        "policy\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,\nhq-d02,Vault,hq-c01,hq-lobby,hq-vault,biometric",
        (
            "policy,unlock_schedule\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,,\n"
            "hq-d02,Vault,hq-c01,hq-lobby,hq-vault,biometric,office"
        ),
        "doors.csv:3: door hq-d02: unlock_schedule: leads into hq-vault, which is special: everybody could walk in",
    ),
    "a facility code that no card has": (
        "doors.csv",
        "policy\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,",
        "policy,degraded_mode,facility_codes\nhq-d01,Main,hq-c01,hq-outside,hq-lobby,,facility_code,78",
        "doors.csv:2: door hq-d01: no credential has the facility code 78",
    ),
    "a schedule that never allows anything": (
        "schedules.yaml",
        "windows:\n    - {days: mon-fri, start: 08:00, end: 18:00}",
        "windows: []",
        "schedules.yaml:3: schedule office: windows: without one the schedule never allows access",
    ),
    "an operator without rights": (
        "policies.yaml",
        "[unlock]",
        "[]",
        "policies.yaml:4: policy card: operators: op-7 has no rights",
    ),
    "an operator's right that is none": (
        "policies.yaml",
        "[unlock]",
        "[unlok]",
        (
            f"policies.yaml:4: policy card: operators[1].rights[1]: input should be {', '.join(_RIGHTS[:-1])} or "
            f"{_RIGHTS[-1]}, not 'unlok'"
        ),
    ),
    "a PIN of no credential": (
        "pins.csv",
        "n0017",
        "n0071",
        "pins.csv:2: there is no credential n0071: add it to credentials.csv",
    ),
    "a PIN of a card": (
        "pins.csv",
        "n0017",
        "c10000017",
        "pins.csv:2: credential c10000017 is a card, not a pin",
    ),
    "a template that is none": (
        "faces.csv",
        "0.1 -0.2",
        "0.1 x",
        "faces.csv:2: a template is numbers with blanks between them",
    ),
    "a template of zeros": (
        "faces.csv",
        "0.1 -0.2 0.3 0.4",
        "0 0 0",
        "faces.csv:2: a template has finite numbers, not all of them 0",
    ),
    "an address that does not fit its channel": (
        "recipients.yaml",
        "https://hooks.example.org/s3cret",
        "s3cret",
        (
            "recipients.yaml:11: recipient wang: addresses[2]: to: what is given for webhook is no URL, such as "
            "https://example.org/hook"
        ),
    ),
    "two addresses of one channel": (
        "recipients.yaml",
        '{channel: webhook, to: "https://hooks.example.org/s3cret"}',
        "{channel: sms, to: +86 10 5550 0198}",
        "recipients.yaml:4: recipient wang: addresses: sms is given twice: make two recipients of one group",
    ),
    "a recipient of a site that there is not": (
        "recipients.yaml",
        "sites: [hq]",
        "sites: [hx]",
        "recipients.yaml:7: recipient wang: sites: there is no site hx",
    ),
    "a policy without recipients": (
        "recipients.yaml",
        "[head-of-security]",
        "[head]",
        (
            "policies.yaml:1: policy card: alerts: critical alerts of site hq are for head-of-security, and nobody is "
            "- known are control-room, head, on-call, wang"
        ),
    ),
    "nobody who is told of duress": (
        "recipients.yaml",
        "monitoring: yes",
        "monitoring: no",
        (
            "site.yaml:1: site hq: nobody is told of duress here: give a recipient that is told of its alerts "
            "`monitoring: yes`"
        ),
    ),
    "a member of a rota who is nobody": (
        "on-call.yaml",
        "[wang, control-room]",
        "[wang, control-rom]",
        "on-call.yaml:4: on-call on-call: members: control-rom is no recipient - did you mean control-room?",
    ),
    "a rota of itself": (
        "on-call.yaml",
        "[wang, control-room]",
        "[wang, on-call]",
        "on-call.yaml:4: on-call on-call: members: on-call is a rota: its members are recipients",
    ),
    "a stand-in that ends before it begins": (
        "on-call.yaml",
        "until_at: 2027-10-08 08:00",
        "until_at: 2027-09-08 08:00",
        "on-call.yaml:6: on-call on-call: stand_ins[1]: until_at is not after from_at",
    ),
    "hand-overs out of order": (
        "on-call.yaml",
        "  members:",
        '  handover_at: ["20:00", "08:00"]\n  members:',
        "on-call.yaml:1: on-call on-call: handover_at: give the times of a day in their order, each once",
    ),
    "a subscription for nobody": (
        "subscriptions.yaml",
        "recipient: wang",
        "recipient: wan",
        "subscriptions.yaml:2: subscription lobby: recipient: there is no recipient wan - did you mean wang?",
    ),
    "a subscription by a channel that its recipient has not": (
        "subscriptions.yaml",
        "recipient: wang",
        "recipient: control-room",
        "subscriptions.yaml:3: subscription lobby: channel: recipient control-room has no webhook address, only email",
    ),
    "a subscription by an unknown channel": (
        "subscriptions.yaml",
        "channel: webhook",
        "channel: fax",
        "subscriptions.yaml:3: subscription lobby: channel: input should be 'webhook' or 'email', not 'fax'",
    ),
    "a subscription to a zone that there is not": (
        "subscriptions.yaml",
        "hq-lobby",
        "hq-loby",
        "subscriptions.yaml:4: subscription lobby: wants.zones: there is no zone hq-loby - did you mean hq-lobby?",
    ),
    "a subscription to nothing": (
        "subscriptions.yaml",
        "{types: [access_denied], zones: [hq-lobby], doors: [hq-d01]}",
        "{}",
        (
            "subscriptions.yaml:4: subscription lobby: wants: an empty filter: give a criterion; "
            "`classes: [normal, abnormal, security, device]` are all events"
        ),
    ),
    "a subscription to duress": (
        "subscriptions.yaml",
        "access_denied",
        "duress",
        (
            "subscriptions.yaml:4: subscription lobby: wants.types[1]: duress is for monitoring alone: "
            "give a recipient `monitoring: yes` instead, not 'duress'"
        ),
    ),
    "a subscription that can fit nothing": (
        "subscriptions.yaml",
        "doors: [hq-d01]",
        "severities: [high]",
        (
            "subscriptions.yaml:4: subscription lobby: wants.severities: only alerts have one, so no access_denied "
            "would ever fit"
        ),
    ),
    "e-mail that is pushed": (
        "subscriptions.yaml",
        "recipient: wang\n  channel: webhook",
        "recipient: control-room\n  channel: email",
        (
            "subscriptions.yaml:1: subscription lobby: delivery: e-mail is sent in batches; for somebody to be told at "
            "once, raise an alert"
        ),
    ),
    "templates that fill no secret": (
        "faces.csv",
        "0.1 -0.2 0.3 0.4",
        " ".join(["0.123456789"] * 4_000) + "\nf0018,arc-4," + " ".join(["-0.123456789"] * 4_000),
        "credentials.csv:5: credential f0018: its templates are longer than 48000 bytes: enrol fewer of them",
    ),
    "YAML that is none": (
        "policies.yaml",
        "methods: [card, card + pin]",
        "methods: [card, card + pin",
        "policies.yaml:3: is no valid YAML: expected ',' or ']', but got ':'",
    ),
    "too many cells": (
        "cardholders.csv",
        "p0018,Li Na,Finance,5",
        "p0018,Li Na, Ph.D.,Finance,5",
        "cardholders.csv:3: has 5 cells for 4 columns: put quotes around text that has commas",
    ),
}
