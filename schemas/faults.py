"""What may be said of an error that a message has caused."""

from __future__ import annotations

import traceback


def kind_and_place(error: BaseException) -> str:
    """Which error it is and where it arose, without its text.

    Exception texts may quote their input (pydantic's do), and the input may hold a PIN.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
