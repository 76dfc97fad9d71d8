"""Recording releases and keeping their images: what the tasks decide, on an engine that is made up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tasks.first_met as first
from blocks.home import Home
from compose.stack.commands import Project
from compose.stack.errors import Failed, Refused
from compose.stack.observed import Container, Observed
from compose.stack.release import ImageRecord, Release
from compose.stack.request import StackRef
from tasks.releases import KEEP, find, keep_images, last, store
from tasks.stacks import ResolvedStack, _named, keep_stack, resolve
from tasks.work import JOURNAL


@dataclass
class Images:
    """An engine's images and tags."""

    here: set[str]
    tags: dict[str, str] = field(default_factory=dict)
    broken: bool = False
    running: tuple[Container, ...] = ()

    def glance(self, project: str) -> Observed:
        return Observed(self.running)

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
    name: str = "p"

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


def test_what_ran_is_remembered_although_a_journal_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused attempt and a backup write the journal too; only the look itself is the end of it."""
    zero: list[Any] = []
    monkeypatch.setattr(first, "release_zero", lambda work: zero.append(work) or 0)
    run: Any = Run(tmp_path, Images(set(), running=(Container("1", "p-web-1", "web", state="running"),)))
    (tmp_path / JOURNAL).write_text("{}\n")
    first.remember_what_ran(run)
    first.remember_what_ran(run)
    assert zero == [run]
    assert run.said == ["release: it ran before we met: recorded as release 0"]


def test_a_kept_stack_follows_its_symbolic_link(tmp_path: Path) -> None:
    """`current/compose.yml` is the version that is current when it is deployed, as with `--file`."""
    for name in ("rel1", "rel2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "compose.yml").write_text("services: {}\n")
    current = tmp_path / "current"
    current.symlink_to("rel1")
    home = Home(tmp_path / "home")
    keep_stack(home, "app", Project((str(current / "compose.yml"),), "app"))
    assert resolve(home, StackRef(stack="app")).project.files == (str(current / "compose.yml"),)


def test_a_project_that_is_called_as_the_kept_stack_of_another_is_refused(tmp_path: Path) -> None:
    """Both would have one chain of releases; our own stacks' names are taken, too."""
    home = Home(tmp_path / "home")
    keep_stack(home, "web", Project((str(tmp_path / "shop.yml"),), "shop"))
    compose = tmp_path / "compose.yml"
    compose.write_text("services: {}\n")
    found = resolve(home, StackRef(files=[str(compose)]))
    for name, owner in (("web", "shop"), ("light", "sutazai")):
        with pytest.raises(Refused, match=f"{name} is the name of a kept stack of another project, {owner}"):
            _named(home, found, name)
    assert _named(home, found, "shop").name == "web"
    assert _named(home, found, "other").name == "other"


def test_a_name_that_holds_releases_of_another_project_is_refused(tmp_path: Path) -> None:
    """It was deployed from its files before; the same project may have its name again."""
    home = Home(tmp_path / "home")
    run: Any = Run(home.stack("p"), Images(set()))
    store(run).append(release(), "services: {}\n", {})
    with pytest.raises(Refused, match="releases of another project, p, are kept under this name"):
        keep_stack(home, "p", Project((str(tmp_path / "shop.yml"),), "shop"))
    keep_stack(home, "p", Project((str(tmp_path / "p.yml"),), "p"))


def test_releases_of_another_project_are_never_brought_back(tmp_path: Path) -> None:
    """A stack whose project got another name goes on with releases of its own."""
    run: Any = Run(tmp_path, Images(set()))
    run.found = ResolvedStack("s", Project(("f",), "p"), tmp_path, None, {})
    for project in ("p", "old", "p"):
        store(run).append(release().model_copy(update={"project": project}), "services: {}\n", {})
    assert find(run, None).number == 1
    with pytest.raises(Refused, match="release 2 is of another project, old; this is p"):
        find(run, 2)
    run.name = "old"
    latest = last(run)
    assert latest is not None
    assert latest.number == 2
    run.name = "new"
    assert last(run) is None
