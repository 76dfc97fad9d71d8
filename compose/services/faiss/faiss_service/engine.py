"""FAISS itself: exact indexes with ids of the client's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss  # type: ignore[import-not-found,import-untyped,unused-ignore]
import numpy as np

from faiss_service.errors import Damaged

Rows = Sequence[Sequence[float]]


def make(dimension: int, metric: str) -> Any:
    """Return an empty index; cosine is the inner product of vectors of length 1."""
    flat = faiss.IndexFlatL2(dimension) if metric == "l2" else faiss.IndexFlatIP(dimension)
    return faiss.IndexIDMap2(flat)


def added(index: Any, metric: str, vectors: Rows, ids: Sequence[int]) -> Any:
    """Return a copy with these vectors in it; one with an id that was there replaces it."""
    copy = faiss.clone_index(index)
    numbers = np.asarray(ids, dtype="int64")
    copy.remove_ids(numbers)
    copy.add_with_ids(_rows(vectors, metric), numbers)
    return copy


def search(index: Any, metric: str, vectors: Rows, count: int) -> list[list[dict[str, float | int]]]:
    """Return the nearest ids with their scores for each vector, the best first."""
    scores, ids = index.search(_rows(vectors, metric), count)
    found = []
    for row_scores, row_ids in zip(scores.tolist(), ids.tolist(), strict=True):
        pairs = zip(row_ids, row_scores, strict=True)
        found.append([{"id": one, "score": score} for one, score in pairs if one >= 0])
    return found


def write(index: Any, path: Path) -> None:
    """Write an index to a file."""
    faiss.write_index(index, str(path))


def read(path: Path) -> Any:
    """Read an index back; raises Damaged when FAISS does not understand the file."""
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise Damaged("FAISS cannot read its file") from error


def _rows(vectors: Rows, metric: str) -> Any:
    rows = np.ascontiguousarray(vectors, dtype="float32")
    if metric == "cosine":
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = rows / np.where(lengths == 0, 1, lengths)
    return rows
