"""A folder's files: which there may be, and their entries."""

from __future__ import annotations

from pathlib import Path

from streams.loading.problems import Problem, nearest
from streams.loading.sources import Node, read_csv, read_yaml

FILES = (
    "site",
    "zones",
    "devices",
    "doors",
    "access-points",
    "policies",
    "schedules",
    "holidays",
    "cardholders",
    "credentials",
    "permissions",
    "recipients",
    "on-call",
    "subscriptions",
    "pins",
    "faces",
    "fingerprints",
)
"""What files are called, before `.yaml` or `.csv`; of each there may be both."""

_READERS = {".yaml": read_yaml, ".yml": read_yaml, ".csv": read_csv}
_REMARKS = {".md", ".txt"}


def read_folder(folder: Path, problems: list[Problem]) -> dict[str, list[Node]]:
    """The entries of each kind of file. Hidden files, `.md` and `.txt` are for people.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    entries: dict[str, list[Node]] = {name: [] for name in FILES}
    found = 0
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix in _REMARKS:
            continue
        read = _READERS.get(path.suffix)
        if path.is_dir() or read is None:
            problems.append(Problem(path.name, 0, "is neither .yaml nor .csv: move it elsewhere"))
        elif path.stem not in entries:
            problems.append(Problem(path.name, 0, f"is not known{nearest(path.stem, FILES)}"))
        else:
            found += 1
            entries[path.stem].extend(read(path, problems))
    if not found:
        problems.append(Problem(str(folder), 0, "holds no reference data: copy deploy/campus to begin with"))
    return entries
