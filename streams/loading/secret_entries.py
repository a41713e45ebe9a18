"""PINs and templates from their files. No problem shows what was read: a PIN's digits stay in its file."""

from __future__ import annotations

import json
import math

from schemas.people import Credential
from schemas.pins import weakness
from schemas.vocabulary import FactorKind
from streams.loading.draft import Draft, PlainPin, Templates
from streams.loading.problems import nearest
from streams.loading.sources import Node

_PIN_WORDS = ("credential", "pin", "duress_pin")
_TEMPLATE_WORDS = ("credential", "model", "template")
BIOMETRICS = {"faces": FactorKind.FACE, "fingerprints": FactorKind.FINGERPRINT}
_SHORTEST, _LONGEST = 2, 4096
MOST_BYTES = 48_000
"""As JSON; sealed and in base64 it is a third longer, and a secret holds 65,536 characters."""


def read_secrets(entries: dict[str, list[Node]], draft: Draft) -> None:
    """Take all PINs and templates; credentials have been read before."""
    pins = [node for node in entries["pins"] if _well_formed(node, _PIN_WORDS, draft)]
    for node in pins:
        _pin(node, draft)
    for file, kind in BIOMETRICS.items():
        for node in entries[file]:
            if _well_formed(node, _TEMPLATE_WORDS, draft):
                _template(node, kind, draft)
    for id_, found in draft.templates.items():
        if len(json.dumps(found.templates)) > MOST_BYTES:
            draft.wrong("credential", id_, (), f"its templates are longer than {MOST_BYTES} bytes: enrol fewer of them")
    given = {node.at("credential").text for node in pins}
    credentials: dict[str, Credential] = draft.records["credential"]
    for id_, credential in credentials.items():
        if credential.kind is FactorKind.PIN and id_ not in given:
            draft.wrong("credential", id_, ("kind",), "is a PIN, and no file of pins has it: add it to pins.csv")


def _well_formed(node: Node, words: tuple[str, ...], draft: Draft) -> bool:
    if not isinstance(node.value, dict):
        draft.problems.append(node.problem(f"an entry has {', '.join(words)}"))
        return False
    for name, child in node.fields.items():
        if name not in words:
            draft.problems.append(child.problem(f"{name} is not known{nearest(name, words)}"))
    needed = [name for name in words if name != "duress_pin"]
    missing = [name for name in needed if name not in node.fields or node.fields[name].value is None]
    if missing:
        draft.problems.append(node.problem(f"{', '.join(missing)}: field required"))
    return not missing


def _credential(node: Node, kind: FactorKind, draft: Draft) -> str | None:
    at = node.at("credential")
    id_ = at.text or ""
    credential: Credential | None = draft.records["credential"].get(id_)
    if credential is None:
        if ("credential", id_) not in draft.broken:
            draft.problems.append(at.problem(f"there is no credential {id_}: add it to credentials.csv"))
        return None
    if credential.kind is not kind:
        draft.problems.append(at.problem(f"credential {id_} is a {credential.kind}, not a {kind}"))
        return None
    return id_


def _pin(node: Node, draft: Draft) -> None:
    id_ = _credential(node, FactorKind.PIN, draft)
    named = node.at("credential").text
    pin, duress = node.at("pin").text or "", node.fields.get("duress_pin")
    duress_pin = duress.text if duress is not None else None
    weak = [("PIN", node.at("pin"), weakness(pin))]
    if duress is not None and duress_pin is not None:
        weak.append(("duress PIN", duress, weakness(duress_pin)))
        if duress_pin == pin:
            weak.append(("duress PIN", duress, "the duress PIN must differ from the PIN"))
    for what, at, rule in weak:
        if rule is not None:
            draft.problems.append(at.problem(f"the {what} of {named} is refused: {rule}"))
    if id_ is None:
        return
    if id_ in draft.pins:
        draft.problems.append(node.problem(f"the PIN of {id_} is given twice"))
        return
    draft.pins[id_] = PlainPin(pin, duress_pin)


def _template(node: Node, kind: FactorKind, draft: Draft) -> None:
    """One template a row; a credential may have several, of one model and length."""
    id_ = _credential(node, kind, draft)
    at = node.at("template")
    try:
        words = [item.text or "" for item in at.value] if isinstance(at.value, tuple) else (at.text or "").split()
        vector = tuple(map(float, words))
    except ValueError:
        draft.problems.append(at.problem("a template is numbers with blanks between them"))
        return
    if not _SHORTEST <= len(vector) <= _LONGEST:
        draft.problems.append(at.problem(f"a template has {_SHORTEST} to {_LONGEST} numbers"))
        return
    if not all(map(math.isfinite, vector)) or not any(vector):
        draft.problems.append(at.problem("a template has finite numbers, not all of them 0"))
        return
    if id_ is None:
        return
    model = node.at("model").text or ""
    before = draft.templates.get(id_)
    if before is None:
        draft.templates[id_] = Templates((vector,), model)
    elif before.model != model or len(before.templates[0]) != len(vector):
        draft.problems.append(node.problem(f"the templates of {id_} must be of one model and length"))
    else:
        draft.templates[id_] = Templates((*before.templates, vector), model)
