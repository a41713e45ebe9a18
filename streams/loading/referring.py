"""Whether a record that another one names is there, and at the right site."""

from __future__ import annotations

from streams.loading.draft import Draft
from streams.loading.problems import nearest


def refer(draft: Draft, name: str, id_: str, field: str, target: str, to: str, site: str | None = None) -> None:
    """A record names another one: it must be there, and (with `site`) at that site."""
    at = tuple(int(part) if part.isdecimal() else part for part in field.split("."))
    if not draft.known(target, to):
        text = f"{at[0]}: there is no {target} {to}{_near(draft, target, to)}"
        draft.wrong(name, id_, at, text)
        return
    found = draft.records[target].get(to)
    if site is not None and found is not None and found.site_id != site:
        draft.wrong(name, id_, at, f"{at[0]}: {target} {to} is of site {found.site_id}, not {site}")


def _near(draft: Draft, target: str, id_: str) -> str:
    hint = nearest(id_, draft.records[target]) if len(draft.records[target]) < 2_000 else ""  # noqa: PLR2004 - speed
    return hint if "did you mean" in hint else ""
