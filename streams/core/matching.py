"""Templates against templates: cosine similarity as a score between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float64]


def normalised(templates: Sequence[Sequence[float]]) -> Vectors:
    """Templates as rows of length one; a row of zeros stays one, and matches nothing."""
    rows = np.asarray(templates, dtype=np.float64)
    # By the largest component first: the square of a very large one would be infinite, of a very small one nothing.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    result: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return result


def scores(presented: Sequence[float], enrolled: Vectors) -> Vectors:
    """How like a presented template each enrolled one is: their cosine, with opposite and unrelated both 0."""
    probe = normalised([presented])[0]
    result: Vectors = np.clip(enrolled @ probe, 0.0, 1.0)
    return result
