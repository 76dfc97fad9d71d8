"""Recording releases and keeping their images: what the tasks decide, on an engine that is made up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compose.stack.errors import Failed
from compose.stack.release import ImageRecord, Release
from tasks.releases import KEEP, keep_images


@dataclass
class Images:
    """An engine's images and tags."""

    here: set[str]
    tags: dict[str, str] = field(default_factory=dict)
    broken: bool = False

    def images(self, references: Iterable[str]) -> dict[str, str | None]:
        return {one: one if one in self.here else None for one in references}

    def tagged(self, repository: str) -> dict[str, str]:
        return {tag: image for tag, image in self.tags.items() if tag.startswith(f"{repository}:")}

    def tag(self, image: str, reference: str) -> None:
        if self.broken or image not in self.here:
            raise Failed(f"No such image: {image}")
        self.tags[reference] = image

    def untag(self, reference: str) -> None:
        del self.tags[reference]


@dataclass
class Run:
    """A run as the tasks see it."""

    state: Path
    engine: Images
    said: list[str] = field(default_factory=list)

    def say(self, service: str, what: str) -> None:
        self.said.append(f"{service}: {what}")


def release(**images: str) -> Release:
    records = {name: ImageRecord(reference=f"{name}:1", id=image) for name, image in images.items()}
    return Release(number=1, kind="deploy", created="x", project="p", images=records)


def test_an_image_that_was_pruned_blocks_no_deployment(tmp_path: Path) -> None:
    """It is named; the others are kept."""
    run: Any = Run(tmp_path, Images({"sha256:here"}))
    keep_images(run, release(web="sha256:gone", db="sha256:here"))
    assert run.engine.tags == {f"{KEEP}/p:db-r1": "sha256:here"}
    assert run.said == ["release: images of release 1 are gone, it cannot come back: web"]


def test_a_tag_that_cannot_be_made_blocks_no_deployment(tmp_path: Path) -> None:
    """The reason is told."""
    run: Any = Run(tmp_path, Images({"sha256:here"}, broken=True))
    keep_images(run, release(db="sha256:here"))
    assert run.said == [f"release: {KEEP}/p:db-r1 could not be kept: No such image: sha256:here"]
