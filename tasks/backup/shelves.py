"""Looking at the backups of a stack on every target: what is there, what it is worth, what goes when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from blocks.backup.identity import own_identity, require_there
from blocks.backup.places import Places
from blocks.backup.shelf import Shelf
from blocks.backup.signing import Keyring
from blocks.home import Home
from compose.stack.backup import view
from compose.stack.backup.freshness import Freshness, judge
from compose.stack.backup.ids import checked_id, moment_of
from compose.stack.backup.manifest import Manifest
from compose.stack.backup.records import Facts, Proof
from compose.stack.backup.retention import Expiry, Kept, Policy, decide, parse_policy
from compose.stack.backup.view import BackupView
from compose.stack.errors import Failed, OpsError, Refused
from compose.stack.request import StackRef
from tasks.backup.targets import configured
from tasks.operate import open_stack


@dataclass(frozen=True)
class Shelfful:
    """What lies on one target.

    Args:
        unreadable: Why a manifest cannot be read, by backup.
        expiry: What the policy would keep; None where it refuses, with the reason in `held`.
        strangers: Names among the backups that are none: they are left alone.
    """

    shelf: Shelf
    manifests: Mapping[str, Manifest]
    facts: Mapping[str, Facts]
    unreadable: Mapping[str, str]
    room: int | None
    skew: float
    expiry: Expiry | None = None
    held: str = ""
    strangers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The target's name."""
        return self.shelf.target.name


@dataclass(frozen=True)
class Shelves:
    """The backups of one stack on all its targets.

    Args:
        problems: Targets that could not be asked, backups that cannot be read.
        notes: What lies there and is no backup.
    """

    stack: str
    stack_id: str
    now: datetime
    shelves: tuple[Shelfful, ...]
    freshness: Freshness
    problems: tuple[str, ...] = ()
    views: tuple[BackupView, ...] = field(default=())
    notes: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One row per backup, newest first."""
        before: list[BackupView | None] = [None, *self.views]
        pairs = zip(self.views, before, strict=False)
        return [one.row(self.now, earlier) for one, earlier in pairs][::-1]

    def stores(self) -> list[dict[str, Any]]:
        """One row per component."""
        return view.store_rows(self.views, self.now)

    def target_rows(self) -> list[dict[str, Any]]:
        """One row per target."""
        return view.target_rows({one.name: one.room for one in self.shelves}, self.views)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "stack": self.stack,
            "stack_id": self.stack_id,
            "fresh": self.freshness.good,
            "age_seconds": self.freshness.age,
            "reasons": list(self.freshness.reasons),
            "problems": list(self.problems),
            "notes": list(self.notes),
            "backups": [
                {
                    "id": one.id,
                    "began": one.began.isoformat(),
                    "complete": one.good,
                    "verified": one.verified,
                    "pinned": one.pinned,
                    "targets": list(one.targets),
                    "stored_bytes": one.manifest.stored_bytes if one.manifest else None,
                    "new_bytes": one.manifest.new_bytes if one.manifest else None,
                    "kept": list(one.kept),
                    "expires": one.expires,
                    "problem": one.problem,
                }
                for one in self.views
            ],
            "stores": self.stores(),
            "targets": self.target_rows(),
        }

    def chosen(self, identifier: str) -> str:
        """An id: as given, or the newest complete backup for `last`.

        Raises:
            Failed: There is none.
            Refused: It is no id.
        """
        if identifier != "last":
            return checked_id(identifier)
        whole = [one for one in self.views if one.good]
        good = [one.id for one in whole if not one.ahead(self.now)]
        if whole and not good:
            said = f"every complete backup is of the future, the last is {whole[-1].id}"
            raise Failed(said, where=self.stack, next="set this host's clock")
        if not good:
            raise Failed("there is no complete backup", where=self.stack, next="./ops backup")
        return good[-1]

    def having(self, identifier: str) -> list[Shelfful]:
        """The targets that have a backup; those that have not are left out."""
        return [one for one in self.shelves if identifier in one.manifests]


def gather(
    home: Home, ref: StackRef, to: Sequence[str] = (), now: datetime | None = None, *, beside: bool = False
) -> Shelves:
    """Look at every target once.

    Args:
        to: Targets; those of the settings by default.
        beside: Look at those of the settings too.
        now: The moment that ages are reckoned from.
    """
    now = now or datetime.now(UTC)
    name = open_stack(home, ref).found.name
    keyring = Keyring.of(home)
    identity, places = own_identity(home, name, keyring), Places.of(home, name)
    policy, settings = parse_policy(home.settings()["OPS_BACKUP_KEEP"]), home.settings()
    found, problems = [], []
    for target in configured(home, to, beside=beside):
        try:
            require_there(target, identity.stack_id, places)
            found.append(_shelfful(Shelf(target, identity.stack_id, keyring)))
        except OpsError as error:
            problems.append(f"target {target.name}: {error}")
    unread = [f"{one.name}: {why}" for one in found for why in one.unreadable.values()]
    objective, drop = float(settings["OPS_BACKUP_MAX_AGE"]) * 3600, float(settings["OPS_BACKUP_DROP"])
    fresh = judge(name, _views(found, now), now, objective, drop, problems, [one.name for one in found])
    held = "; ".join((*problems, *fresh.shrunk))
    found = [_with_expiry(one, found, policy, now, held) for one in found]
    return Shelves(
        name, identity.stack_id, now, tuple(found), fresh, (*problems, *unread), tuple(_views(found, now)),
        tuple(f"{o.name}: {one[:80]!r} is no backup's name: left alone" for o in found for one in o.strangers),
    )  # fmt: skip


def _shelfful(shelf: Shelf) -> Shelfful:
    survey = shelf.survey()
    read, errors = shelf.manifests(survey)
    facts = {name: shelf.facts(name) for name in read}
    return Shelfful(
        shelf,
        {name: one.manifest for name, one in read.items()},
        facts,
        {name: str(error) for name, error in errors.items()},
        shelf.target.room(),
        shelf.target.skew(),
        strangers=survey.strangers,
    )


def _with_expiry(
    one: Shelfful, all_of_them: Sequence[Shelfful], policy: Policy, now: datetime, held: str
) -> Shelfful:
    elsewhere: dict[str, str] = {}
    for other in all_of_them:
        if other is not one:
            elsewhere |= dict.fromkeys(other.unreadable, f"its manifest on {other.name} cannot be read")
            best = _best(other)
            elsewhere |= {best: f"protected: proven furthest on {other.name}"} if best else {}
    backups = [Kept.of(manifest) for manifest in one.manifests.values()]
    try:
        expiry = decide(
            policy, backups, one.facts, now,
            skew=one.skew, unreadable=list(one.unreadable), held=held, elsewhere=elsewhere,
        )  # fmt: skip
    except Refused as error:
        return _replaced(one, None, error.what)
    return _replaced(one, expiry, "")


def _replaced(one: Shelfful, expiry: Expiry | None, held: str) -> Shelfful:
    return replace(one, expiry=expiry, held=held)


def _best(one: Shelfful) -> str | None:
    """The newest complete backup of those that were proven furthest on a target, where one was proven at all."""
    whole = sorted(name for name, manifest in one.manifests.items() if manifest.complete)
    best = max((one.facts[name].proof for name in whole), default=Proof.NONE)
    return next((n for n in reversed(whole) if one.facts[n].proof == best), None) if best > Proof.NONE else None


def _views(shelves: Sequence[Shelfful], now: datetime) -> list[BackupView]:
    """One per backup, oldest first, over all targets."""
    names = sorted({name for one in shelves for name in (*one.manifests, *one.unreadable)})
    return [_view(name, shelves) for name in names]


def _view(name: str, shelves: Sequence[Shelfful]) -> BackupView:
    having = [one for one in shelves if name in one.manifests]
    facts = [one.facts[name] for one in having]
    problem = "; ".join(one.unreadable[name] for one in shelves if name in one.unreadable) if not having else ""
    problem = problem or "; ".join(
        f"damaged on {o.name}: {o.facts[name].damaged[0]}" for o in having if o.facts[name].damaged
    )
    best = max(facts, key=lambda one: one.proof, default=Facts())
    kept: list[str] = []
    goes: list[str] = []
    for one in having:
        if one.expiry:
            (kept if name in one.expiry.keep else goes).extend(one.expiry.reasons.get(name, ()))
    return BackupView(
        id=name,
        began=moment_of(name),
        manifest=having[0].manifests[name] if having else None,
        targets=tuple(one.name for one in having),
        verified=best.proof.name.lower(),
        pinned=next((one.pinned for one in facts if one.pinned), ""),
        kept=tuple(dict.fromkeys(kept)),
        expires="" if kept or not goes else f"at the next expiry: {goes[0]}",
        problem=problem,
        accepted=any(one.accepted is not None for one in facts),
    )
