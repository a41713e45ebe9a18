"""Messages as one line for people; secrets are never shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.topics import registry
from streams.commands.terminal import clock, printable

Fields = Mapping[str, Any]

_SECRET = frozenset({"pin", "template", "sealed", "duress_pin"})
_ADDRESS = {"channel", "to"}
"""An address may hold a token."""
_HIDDEN = "***"
_USUAL, _WIDE = 18, 24
_IMPLIED: Mapping[str, str] = {
    "alert_raised": "unacknowledged",
    "alert_escalated": "unacknowledged",
    "alert_repeated": "unacknowledged",
    "alert_acknowledged": "acknowledged",
    "alert_returned_to_normal": "returned_to_normal_unacknowledged",
    "alert_shelved": "shelved",
    "alert_suppressed": "suppressed",
    "alert_resolved": "resolved",
    "alert_closed": "closed",
}
"""The state that a transition's name says already."""


def without_secrets(value: Any) -> Any:
    """The same JSON value with every PIN, template, sealed part and recipient's address replaced by stars."""
    if isinstance(value, Mapping):
        if value.keys() == _ADDRESS:
            return {**value, "to": _HIDDEN}
        return {k: _HIDDEN if k in _SECRET and v is not None else without_secrets(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def line_of(topic: str, fields: Fields) -> str:
    """A message in one line: time, what, where, who, and why."""
    type_ = str(fields.get("type", "?"))
    times = ("decided_at", "updated_at", "issued_at", "occurred_at", "started_at")
    when = clock(next((fields[name] for name in times if fields.get(name)), None))
    render = _LINES.get(type_, _other)
    try:
        told = render(fields)
    except (TypeError, AttributeError, KeyError, IndexError):
        # Anybody may have written this: the shape is not what its type promises.
        render, told = _other, f"(malformed) {_other(fields)}"
    wide = _WIDE if render is _alert else _USUAL
    line = f"{when} {type_:{wide}} {told}" + ("" if render is not _other else f"  [{topic}]")
    return printable(line)


def _who(fields: Fields) -> str:
    return str(fields.get("cardholder_id") or "nobody known")


def _granted(fields: Fields) -> str:
    soft = "".join(f" ({reason}: soft)" for reason in fields.get("soft_breaches", ()))
    way = f"{fields.get('access_point_id')} -> {fields.get('zone_to')}"
    return f"{_who(fields):12} {way} in {fields.get('age_ms')} ms{soft}{_alone(fields)}"


def _alone(fields: Fields) -> str:
    """What the controller had decided alone, where it was something else."""
    recorded = fields.get("recorded")
    if not fields.get("difference") or not recorded:
        return ""
    return f" (alone it was {recorded['outcome']}: {recorded['cause']})"


def _denied(fields: Fields) -> str:
    failed = ", ".join(fields.get("failed_checks", ())[1:])
    also = f" (also {failed})" if failed else ""
    why = f"{fields.get('reason')}{' (drill)' if fields.get('drill') else ''}"
    return f"{_who(fields):12} {fields.get('access_point_id')} {why}{also}{_alone(fields)}"


def _passage(fields: Fields) -> str:
    return f"{_who(fields):12} {fields.get('door_id')} {fields.get('zone_from')} -> {fields.get('zone_to')}"


def _command(fields: Fields) -> str:
    request = fields.get("request")
    cause = f"request {request['boot']}/{request['sequence']}" if request else "operator"
    return (
        f"{fields.get('door_id')} open {fields.get('access_time_s')} s for {cause}, sequence {fields.get('sequence')}"
    )


def _display(fields: Fields) -> str:
    return f"{fields.get('access_point_id')} shows {fields.get('code')}"


def _requested(fields: Fields) -> str:
    kinds = " + ".join(str(factor.get("kind")) for factor in fields.get("factors", ()))
    number = f"{fields.get('device_id')} {fields.get('boot')}/{fields.get('sequence')}"
    return f"{fields.get('access_point_id')} {kinds} ({number})"


def _refused(fields: Fields) -> str:
    code = fields.get("reason") if fields.get("type") == "message_refused" else fields.get("code")
    return f"{fields.get('device_id') or fields.get('operator_id')} {code}: {fields.get('detail')}"


def _alert(fields: Fields) -> str:
    if "summary" not in fields:
        return _alert_request(fields)
    parts = [f"{str(fields.get('alert_id'))[:8]} {fields.get('severity')!s:8} {fields.get('summary')}"]
    count = fields.get("count")
    parts += [f"(x{count})"] if count not in (None, 1) else []
    state = str(fields.get("state"))
    parts += [f"is {state.replace('_', ' ')}"] if _IMPLIED.get(str(fields.get("type"))) != state else []
    parts += [f"by {fields['operator_id']}"] if fields.get("operator_id") else []
    parts += [f"for {fields['assigned_to']}"] if fields.get("assigned_to") else []
    parts += [f"until {clock(fields['shelved_until'])[:8]}"] if fields.get("shelved_until") else []
    parts += [f"because of {str(fields['suppressed_by'])[:8]}"] if fields.get("suppressed_by") else []
    action, notify = fields.get("action"), fields.get("notify")
    if action:
        parts.append(f"({action['action']} {action['attempt']}/{action['attempts']} {action['verdict']})")
    if notify:
        parts.append(f"-> {', '.join(notify['channels'])}: {', '.join(notify['recipients'])}")
    said = fields.get("result") or fields.get("comment")
    return " ".join([*parts, f'"{said}"'] if said else parts)


def _alert_request(fields: Fields) -> str:
    given = ("assigned_to", "shelve_s", "result", "force", "reason")
    asked = [f"{name}={fields[name]}" for name in given if fields.get(name)]
    return " ".join([f"{fields.get('operator_id')} asks it of {str(fields.get('alert_id'))[:8]}", *asked])


def _notification(fields: Fields) -> str:
    asked = fields.get("asked_for")
    recipient = str(fields.get("recipient_id"))
    whom = recipient if asked in {recipient, None} else f"{recipient} ({asked})"
    way = f"{fields.get('channel')} {fields.get('target') or ''}".strip()
    parts = [f"{str(fields.get('alert_id'))[:8]} step {fields.get('step')} -> {whom} by {way}"]
    parts += [f"instead of {fields['instead_of']}"] if fields.get("instead_of") else []
    parts += [f"at attempt {fields['attempts']}"] if (fields.get("attempts") or 0) > 1 else []
    parts += [f"with others in {str(fields['digest_id'])[:8]}"] if fields.get("digest_id") else []
    told = " ".join(parts)
    return f"{told}: {fields['error']}" if fields.get("error") else told


def _door_alarm(fields: Fields) -> str:
    active = ", ".join(fields.get("active", ())) or "none"
    return f"{fields.get('door_id')} {fields.get('event')} (active: {active})"


def _lockout(fields: Fields) -> str:
    holder = fields.get("cardholder_id") if fields.get("subject") == "credential" else None
    of = f" of {holder}" if holder else ""
    scope = "everywhere" if fields.get("scope") == "everywhere" else f"at {fields.get('site_id')}"
    who = f"{fields.get('subject')} {fields.get('subject_id')}{of} {scope}"
    if fields.get("type") == "lockout_ended":
        by = f" by {fields['operator_id']}: {fields.get('reason')}" if fields.get("cause") == "operator" else ""
        return f"{who} ({fields.get('cause')}{by})"
    numbers = f" with {fields['numbers']} numbers" if fields.get("numbers") else ""
    why = f"{fields.get('failures')} failures{numbers} in {fields.get('window_s')} s"
    why += f", the last at {fields.get('access_point_id')}: {fields.get('last_reason')}"
    if fields.get("type") == "lockout_impending":
        return f"{who}: {why}"
    end = fields.get("locked_until")
    until = f"until {clock(end)[:8]}" if end else "until somebody ends it"
    return f"{who} {until}, number {fields.get('number')}: {why}"


def _failed(fields: Fields) -> str:
    return f"{_who(fields):12} {fields.get('access_point_id')} {fields.get('last_reason')}"


def _lifted(fields: Fields) -> str:
    return f"{_who(fields):12} by {fields.get('operator_id')} at {fields.get('site_id')}: {fields.get('reason')}"


def _device_state(fields: Fields) -> str:
    what = " ".join(str(fields[name]) for name in ("event", "code", "detail") if fields.get(name))
    if fields.get("event") in {"flapping", "settled"}:
        what += f" {fields.get('condition')}"
    troubles = [name for name in ("tamper", "power_failure", "battery_low", "clock_wrong") if fields.get(name)]
    troubles += [str(fault["code"]) for fault in fields.get("faults", ())]
    troubles += [f"network {fields['network']}"] if fields.get("network", "ok") != "ok" else []
    now = ", ".join([str(fields.get("connection")), *troubles])
    site = f"{fields.get('site_id')}: {fields.get('site_offline')} of {fields.get('site_devices')} offline"
    return f"{fields.get('device_id'):12} {what} ({now}; {site})"


def _device_exception(fields: Fields) -> str:
    by = " by ".join(str(fields[name]) for name in ("step", "operator_id") if fields.get(name))
    who = f", for {fields['assigned_to']}" if fields.get("assigned_to") else ""
    there = "" if fields.get("active") else ", gone"
    what = f"{fields.get('cause')} {fields.get('detail', '')}".rstrip()
    return f"{fields.get('device_id'):12} {what} ({fields.get('nature')}{there}): {by}{who}"


def _permission_updated(fields: Fields) -> str:
    what = f"permission {fields.get('permission_id')} is {fields.get('state')}"
    return f"{_who(fields):12} {what}, noticed at {fields.get('access_point_id')}: {fields.get('result')}"


def _probe(fields: Fields) -> str:
    return f"{fields.get('device_id'):12} tell how you are"


def _sync(fields: Fields) -> str:
    return f"{fields.get('device_id'):12} take permission snapshot {fields.get('version')}"


def _snapshot(fields: Fields) -> str:
    part = f"part {fields.get('part')}/{fields.get('parts')}, {len(fields.get('cards', ()))} cards"
    return f"{fields.get('device_id'):12} version {fields.get('version')}, {part}, until {fields.get('valid_until')}"


def counts(fields: Fields) -> str:
    """How many doors of a lockdown have confirmed, and are shut as well."""
    return f"{fields['confirmed']}/{fields['doors']} confirmed, {fields['secured']} shut"


def _lockdown(fields: Fields) -> str:
    drill = "drill of " if fields["drill"] else ""
    return f"{drill}{fields['zone_id']} {counts(fields)}, {fields['inside']} inside ({fields['incident_id']})"


def _door_mode(fields: Fields) -> str:
    state = "confirmed" if fields.get("confirmed_at") else fields.get("unconfirmed") or "on its way"
    why = ", ".join(f"{one['kind']} {one['cause_id']}" for one in fields["causes"]) or "nothing else"
    return f"{fields['door_id']:12} {fields['mode']} for {why}: {state}"


def _other(fields: Fields) -> str:
    shown = ("site_id", "device_id", "door_id", "command_id", "operator_id", "reason", "name")
    return " ".join(f"{name}={fields[name]}" for name in shown if fields.get(name) not in (None, ""))


def _threat(fields: Fields) -> str:
    found = fields.get("assessment") or fields
    parts = [str(fields.get("threat_key")), str(found.get("level") or "")]
    parts += [f"{found['score']} points"] if found.get("score") is not None else []
    parts += [str(fields["summary"])] if fields.get("summary") else []
    parts += [f"({fields['response'].replace('_', ' ')})"] if fields.get("response") else []
    parts += [f"asks for clearance {fields['asked']}"] if fields.get("asked") else []
    parts += [f"until {clock(fields['until'])[:8]}"] if fields.get("until") else []
    parts += [str(fields["cause"])] if fields.get("cause") else []
    parts += [f"by {fields['operator_id']}: {fields.get('reason')}"] if fields.get("operator_id") else []
    return " ".join(part for part in parts if part)


_LINES: dict[str, Callable[[Fields], str]] = {
    "access_granted": _granted,
    "access_denied": _denied,
    "lockout_impending": _lockout,
    "lockout_started": _lockout,
    "lockout_ended": _lockout,
    "authentication_failed": _failed,
    "lockout_lifted": _lifted,
    "access_taken": _passage,
    "access_not_taken": _passage,
    "access_door": _command,
    "display": _display,
    "probe": _probe,
    "sync_permissions": _sync,
    "permission_snapshot": _snapshot,
    "device_state": _device_state,
    "device_exception": _device_exception,
    "permission_updated": _permission_updated,
    "access_requested": _requested,
    "access_recorded": _requested,
    "message_refused": _refused,
    "operator_request_refused": _refused,
    "door_alarm": _door_alarm,
    "door_mode_desired": _door_mode,
}
_LINES.update(dict.fromkeys(registry()["notifications"].messages, _notification))
_LINES.update(dict.fromkeys(registry()["incidents"].messages, _lockdown))
_LINES.update(dict.fromkeys(registry()["alerts"].messages, _alert))
_LINES.update(dict.fromkeys(registry()["threats"].messages, _threat))
