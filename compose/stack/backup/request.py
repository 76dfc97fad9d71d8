"""What a person asks of a backup."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from compose.stack.request import Mode, StackRef

SaveCheck = Literal["none", "content"]
VerifyLevel = Literal["bytes", "content"]


class BackupRequest(StackRef):
    """A backup.

    Args:
        mode: `plan` shows what would be saved, how large, and who stands still, and stops.
        to: Targets, as `NAME=PLACE` or `PLACE`; those of the settings by default.
        only: Components to save; all by default. Such a backup is not complete.
        verify: `content` has each store's own tool read everything on its way.
        consistency: One moment for all stores: who writes to them stands still for it.
        writers_stop: Seconds that the writers may stand still; a longer prediction is refused.
        reread: Read every file that goes into the pool again, though it looks unchanged.
        adopt: Take over a target: another installation's that is gone, or ours that is empty.
    """

    mode: Mode = "apply"
    to: list[str] = Field(default_factory=list)
    only: list[str] = Field(default_factory=list)
    verify: SaveCheck = "none"
    consistency: bool = False
    writers_stop: float = Field(default=120.0, gt=0)
    reread: bool = False
    adopt: bool = False


class BackupsRef(StackRef):
    """Backups of a stack.

    Args:
        to: Targets, as `NAME=PLACE` or `PLACE`; those of the settings by default.
    """

    to: list[str] = Field(default_factory=list)


class VerifyBackupRequest(BackupsRef):
    """A proof that a backup can be read.

    Args:
        id: Which one; `last` is the newest complete one.
        level: `bytes` reads every stored hash; `content` has each store's own tool read all of it.
        sample: Fraction of the pool's blobs that is read.
        identity: File, or `fd:N`, with the key that opens what is encrypted.
        trust: Take one that this home has not signed.
    """

    id: str = "last"
    level: VerifyLevel = "bytes"
    sample: float = Field(default=1.0, ge=0.0, le=1.0)
    identity: str = ""
    trust: bool = False


class CopyRequest(BackupsRef):
    """A copy of a backup to targets that lack it.

    Args:
        source: Target to read it from; the first that has it when empty.
    """

    id: str = "last"
    source: str = ""
    trust: bool = False


class ExpireRequest(BackupsRef):
    """Letting backups go.

    Args:
        apply: Really remove; the reasons alone are shown without.
        accept_drop: Why the last backup may be so much smaller than the ones before; that ends the hold.
    """

    apply: bool = False
    accept_drop: str = ""


class PinRequest(BackupsRef):
    """Keeping one backup whatever the policy says.

    Args:
        reason: Why.
        remove: Take the pin away instead.
    """

    id: str = "last"
    reason: str = "by hand"
    remove: bool = False


class RekeyRequest(BackupsRef):
    """Another set of people who can open the backups that are there.

    Args:
        identity: File, or `fd:N`, with a key that opens them now.
        add, remove: Recipients.
    """

    identity: str = ""
    add: list[str] = Field(default_factory=list)
    remove: list[str] = Field(default_factory=list)
