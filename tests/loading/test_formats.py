"""Files as editors and spreadsheets leave them; and files that are none."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.loading.campus import LoadError, Problem, read_campus
from tests.loading.folders import SOUND, problems_of, written


def test_byte_order_marks_line_ends_blank_lines_remarks_and_quotes_do_no_harm(tmp_path: Path) -> None:
    doors = SOUND["doors.csv"].replace("Main", '"Main, ""A"""').replace("\n", '\r\n\r\n# a remark, "with quotes\r\n')
    campus = read_campus(written(tmp_path, doors_csv=f"\ufeff# Doors\r\n{doors}"))
    assert campus.records["door"]["hq-d01"].name == 'Main, "A"'  # type: ignore[attr-defined]


def test_lines_are_counted_past_remarks_blank_lines_and_cells_of_several_lines(tmp_path: Path) -> None:
    people = '# people\n\nid,name,department,clearance\n"p0017","Wang\nFang",Finance,2\n# more\np0018,Li Na,Finance,9\n'
    (line,) = problems_of(written(tmp_path, cardholders_csv=people))
    assert line.startswith("cardholders.csv:7: cardholder p0018: clearance")


def test_an_anchor_that_holds_itself_ends(tmp_path: Path) -> None:
    found = problems_of(written(tmp_path, schedules_yaml="- &a\n  id: office\n  name: x\n  windows: [*a]\n"))
    assert "schedules.yaml:1: is nested too deeply" in found


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(SOUND)),
    at=st.floats(min_value=0, max_value=1),
    junk=st.one_of(st.text(max_size=12), st.sampled_from([":", "- ", "{", '"', ",", "\n", "  x: [", "&a *a", "\x00"])),
    cut=st.integers(min_value=0, max_value=40),
)
def test_whatever_a_file_holds_the_answer_is_a_campus_or_problems_with_places(
    name: str, at: float, junk: str, cut: int, tmp_path: Path
) -> None:
    text = SOUND[name]
    place = int(at * len(text))
    folder = written(tmp_path)
    (folder / name).write_bytes((text[:place] + junk + text[place + cut :]).encode("utf-8", "surrogatepass"))
    found: tuple[Problem, ...] = ()
    try:
        read_campus(folder)
    except LoadError as error:
        found = error.problems
        refused = True
    else:
        refused = False
    assert refused == bool(found)
    assert all((folder / problem.file).exists() and 0 <= problem.line <= 60 for problem in found)
    assert all(str(problem).isprintable() for problem in found)
