"""What is known of an index besides its vectors: one JSON file, written after the index itself."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from faiss_service.errors import ApiError, Damaged

SCHEMA = 1
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
METRICS = ("l2", "ip", "cosine")


@dataclass(frozen=True)
class Record:
    """One index as it lies on the disk.

    Args:
        dimension: Numbers in a vector.
        metric: `l2` (squared distance), `ip` (inner product) or `cosine`.
        generation: Counts the writes; the file's name has it.
        file: Name of the file with the vectors, beside this one.
        sha256: Of that file.
        next_id: What the next vector without an id of its own is called.
    """

    name: str
    dimension: int
    metric: str
    generation: int
    ntotal: int
    file: str
    sha256: str
    next_id: int
    schema: int = SCHEMA

    def text(self) -> str:
        """Return the record as its file has it."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    def shown(self) -> dict[str, Any]:
        """Return what the API tells."""
        return {key: value for key, value in asdict(self).items() if key not in ("schema", "next_id")}


def parse(text: str) -> Record:
    """Read a record back; raises Damaged when it is none, or has a newer form."""
    try:
        body: Mapping[str, Any] = json.loads(text)
        schema = body["schema"]
        if schema != SCHEMA:
            raise Damaged(f"it has form {schema}, this program knows {SCHEMA}")
        return Record(**body)
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"its record cannot be read ({type(error).__name__})") from error


def file_name(name: str, generation: int) -> str:
    """Return the name of the file with the vectors."""
    return f"{name}.{generation}.index"


def ids_for(given: Sequence[int] | None, count: int, next_id: int) -> tuple[list[int], int]:
    """Return the ids of new vectors and what the one after them is called.

    Args:
        given: Ids that the client chose; None for the next free ones.

    Raises:
        ApiError: 422 when there is not one id for each vector, or one twice.
    """
    if given is None:
        return list(range(next_id, next_id + count)), next_id + count
    if len(given) != count:
        raise ApiError(422, f"{len(given)} ids for {count} vectors")
    if len(set(given)) != count:
        raise ApiError(422, "an id occurs twice")
    return list(given), max(next_id, max(given, default=-1) + 1)


def check_vectors(vectors: Sequence[Sequence[float]], dimension: int) -> None:
    """Refuse vectors of another dimension than the index has; the first one is named."""
    for place, vector in enumerate(vectors):
        if len(vector) != dimension:
            raise ApiError(422, f"vector {place} has {len(vector)} numbers, the index has {dimension}")
