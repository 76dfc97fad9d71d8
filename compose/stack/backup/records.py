"""Later facts about a backup: appended beside it, signed, never changed; what they amount to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError

from compose.stack.backup.jsontext import loads
from compose.stack.backup.manifest import Level, Strict
from compose.stack.errors import Refused

LARGEST = 1024 * 1024


class Proof(IntEnum):
    """How far a backup was proven; higher is more."""

    NONE = 0
    BYTES = 1
    CONTENT = 2
    REHEARSAL = 3


class Verified(Strict):
    """Somebody verified it.

    Args:
        passed: False: something is wrong with it; `problems` says what.
        details: What was looked at: files, bytes, the sampled fraction (`sample`) and its seed.
    """

    fact: Literal["verified"] = "verified"
    level: Level
    passed: bool = True
    problems: tuple[str, ...] = ()
    details: dict[str, str | int | float | bool | None] = Field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """True when all of it was read, not a sample."""
        sample = self.details.get("sample", 1)
        return isinstance(sample, int | float) and sample >= 1


class Pinned(Strict):
    """It is kept until it is unpinned."""

    fact: Literal["pinned"] = "pinned"
    reason: str


class Unpinned(Strict):
    """The rules decide about it again."""

    fact: Literal["unpinned"] = "unpinned"
    reason: str = ""


class Accepted(Strict):
    """Somebody looked at it: a store may be so much smaller in it than in the ones before."""

    fact: Literal["accepted"] = "accepted"
    reason: str


class Rehearsed(Strict):
    """It was restored into a scratch project and compared.

    Args:
        seconds: From the start to the last check.
    """

    fact: Literal["rehearsed"] = "rehearsed"
    passed: bool
    seconds: float = Field(ge=0)
    problems: tuple[str, ...] = ()


class Rekeyed(Strict):
    """Its files were encrypted anew: what was proven was so of others."""

    fact: Literal["rekeyed"] = "rekeyed"
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


Fact = Annotated[Verified | Pinned | Unpinned | Accepted | Rehearsed | Rekeyed, Field(discriminator="fact")]


class Record(Strict):
    """One fact about one backup.

    Args:
        backup: Its id; a record that lies beside another one counts for nothing.
        at: When it was found.
        by: Who found it: user and host.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    stack_id: str
    backup: str
    at: AwareDatetime
    by: str
    fact: Fact


@dataclass(frozen=True)
class Rehearsal:
    """The last rehearsal."""

    passed: bool
    seconds: float
    at: AwareDatetime


@dataclass(frozen=True)
class Facts:
    """What all records of a backup on one target amount to.

    Args:
        verified: The highest level that it passed since something was last found wrong with it, or its files were
            encrypted anew.
        verified_at: When it last passed one.
        damaged: What was found wrong; empty when all of it passed since, at the same or a higher level.
        pinned: Why it is kept; None when it is not pinned.
        rehearsed: The last rehearsal.
        accepted: Why it may be so much smaller than the ones before; None when nobody said so.
        doubtful: Records that cannot be read or trusted: such a backup is never removed.
    """

    verified: Level = "none"
    verified_at: AwareDatetime | None = None
    damaged: tuple[str, ...] = ()
    pinned: str | None = None
    rehearsed: Rehearsal | None = None
    doubtful: tuple[str, ...] = ()
    accepted: str | None = None

    @property
    def proof(self) -> Proof:
        """How far it was proven."""
        if self.damaged:
            return Proof.NONE
        if self.rehearsed and self.rehearsed.passed:
            return Proof.REHEARSAL
        return Proof[self.verified.upper()]


def parse_record(data: bytes, *, stack_id: str, backup: str) -> Record:
    """Read one record.

    Args:
        data: As it lies on a target, its signature checked.
        stack_id: The stack that it has to be of; `backup`: and the backup.

    Raises:
        Refused: It is none, or of something else.
    """
    try:
        record = Record.model_validate(loads(data, LARGEST, "record"))
    except ValidationError as error:
        raise Refused(f"a record has {error.errors()[0]['msg']}", where=backup) from None
    if (record.stack_id, record.backup) != (stack_id, backup):
        raise Refused(f"a record is about {record.stack_id} {record.backup}", where=backup)
    return record


def facts_of(records: Iterable[Record], doubtful: Iterable[str] = ()) -> Facts:
    """What records amount to, whatever their order.

    Args:
        doubtful: Names of records that cannot be read or trusted.
    """
    level, since = "none", None  # type: tuple[Level, AwareDatetime | None]
    damaged: dict[Proof, tuple[str, ...]] = {}
    pinned: str | None = None
    accepted: str | None = None
    rehearsed: Rehearsal | None = None
    for record in sorted(records, key=lambda one: one.at):
        fact = record.fact
        if isinstance(fact, Pinned):
            pinned = fact.reason
        elif isinstance(fact, Unpinned):
            pinned = None
        elif isinstance(fact, Accepted):
            accepted = fact.reason
        elif isinstance(fact, Rehearsed):
            rehearsed = Rehearsal(fact.passed, fact.seconds, record.at)
        elif isinstance(fact, Rekeyed):
            level, since, rehearsed = "none", None, None
        elif not fact.passed:
            level, since, rehearsed = "none", None, None
            damaged[_proof(fact.level)] = fact.problems or ("it did not pass",)
        else:
            damaged = {at: why for at, why in damaged.items() if at > _proof(fact.level) or not fact.whole}
            if not damaged:
                level, since = max(level, fact.level, key=_proof), record.at
    wrong = tuple(problem for at in sorted(damaged) for problem in damaged[at])
    return Facts(level, since, wrong, pinned, rehearsed, tuple(doubtful), accepted)


def _proof(level: Level) -> Proof:
    return Proof[level.upper()]
