"""Release 0: a stack that ran before we met it, from what is observed."""

from __future__ import annotations

from compose.stack.release import Health, ImageRecord
from tasks.releases import draft, record
from tasks.work import Work


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
