"""Release 0: a stack that ran before we met it, from what is observed."""

from __future__ import annotations

from datetime import UTC, datetime

from blocks.files import write_private
from compose.stack.release import Health, ImageRecord
from tasks.releases import draft, last, record
from tasks.work import Work

MET = "met"
"""The file that says when we first looked at what ran; a journal may be there before, of a refusal or a backup."""


def remember_what_ran(work: Work) -> None:
    """Give a stack that we first meet running its release 0, before its first change."""
    mark = work.state / MET
    if mark.exists():
        return
    if last(work) is None and any(c.running for c in work.engine.glance(work.name).containers):
        number = release_zero(work)
        work.say("release", f"it ran before we met: recorded as release {number}")
    write_private(mark, datetime.now(UTC).isoformat(timespec="seconds") + "\n")


def release_zero(work: Work) -> int:
    """Record what runs: the images of its containers, and today's files."""
    there = work.engine.observe(work.name)
    release, flat, sources = draft(work, "observed", {})
    images = {
        c.service: ImageRecord(reference=c.image, id=c.image_id)
        for c in there.containers
        if c.service in work.stack.services
    }
    health = {c.service: Health(state=c.state, proof="observed") for c in there.containers}
    hashes = work.cli.hashes(work.project)
    services = {
        name: value
        for name, value in release.services.items()
        if work.stack[name].shares_with or all(c.config_hash == hashes.get(name) for c in there.of(name))
    }
    seen = release.model_copy(update={"images": images, "health": health, "services": services})
    return record(work, (seen, flat, sources)).number
