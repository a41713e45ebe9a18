"""Every branch of the flows already built is driven by a marked test."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

HERE = Path(__file__).parent
BUILT = ("A1", "A2", "A3", "A4", "A5", "E2", "M1", "M2", "M3")
_MARK = re.compile(r"mark\.branch\(([^)]*)\)", re.DOTALL)
_ID = re.compile(r"[A-Z]\d+\.\d\d")


def _branches() -> dict[str, str]:
    flows = yaml.safe_load((HERE / "branches.yaml").read_text(encoding="utf-8"))
    return {id_: texts["en"] for flow in flows.values() for id_, texts in flow["branches"].items()}


def _marked() -> set[str]:
    marks: set[str] = set()
    for path in HERE.rglob("test_*.py"):
        for arguments in _MARK.findall(path.read_text(encoding="utf-8")):
            marks.update(_ID.findall(arguments))
    return marks


def test_every_branch_of_the_flows_already_built_is_driven() -> None:
    wanted = {id_: text for id_, text in _branches().items() if id_.split(".")[0] in BUILT}
    assert len(wanted) > 40
    missing = {id_: text for id_, text in wanted.items() if id_ not in _marked()}
    assert missing == {}


def test_no_test_is_marked_with_a_branch_that_does_not_exist() -> None:
    assert _marked() <= set(_branches())


def test_the_copy_of_the_branches_is_the_source() -> None:
    source = HERE.parents[1] / "shared" / "spec" / "branches.yaml"
    if source.exists():
        assert (HERE / "branches.yaml").read_text(encoding="utf-8") == source.read_text(encoding="utf-8")
    assert len(_branches()) == 405
