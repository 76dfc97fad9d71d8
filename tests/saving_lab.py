"""What the tests of backups share: a laboratory with networks of its own, and a stack opened for work."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from blocks.engine import Engine
from blocks.home import Home
from compose.stack.backup.component import Component
from compose.stack.request import StackRef
from flows.deploy_stack import open_work
from tasks.backup.look import inventory
from tasks.backup.procedure import Saved, Saving, Stopping
from tasks.backup.procedures import procedure_for
from tasks.work import Work
from tests import images
from tests.engine_state import docker
from tests.fakes.backup_files import MemoryFiles
from tests.lab import Lab
from tests.projects import ComposeProject

BUSYBOX = "t-backup-bb:1"


@contextmanager
def laboratory(place: Path) -> Iterator[Lab]:
    """A place to deploy in, swept afterwards; the busybox image is there."""
    images.busybox(BUSYBOX)
    lab = Lab(place)
    try:
        yield lab
    finally:
        lab.close()
        images.remove_made()


def network(number: int) -> str:
    """The network of a project of these tests."""
    return f"\nnetworks: {{default: {{ipam: {{config: [{{subnet: 10.214.{number}.0/24}}]}}}}}}\n"


def saved(given: Saving) -> Saved:
    """What its procedure saves, from the first step to the last."""
    procedure = procedure_for(given)
    try:
        procedure.open()
        return procedure.save()
    finally:
        procedure.close()


@contextmanager
def restored(
    image: str, place: str, data: bytes, given: Sequence[str] = (), command: Sequence[str] = ()
) -> Iterator[str]:
    """A container with an archive as its data, unpacked by tar alone; its address.

    Args:
        image: Has tar in it.
        place: Path in the container at which the data lies.
        given: More options of `docker run`.
        command: What the container runs; the image's own by default.
    """
    name = "t-restored"
    try:
        docker("volume", "create", name)
        mount = ("-v", f"{name}:{place}")
        unpack = ("run", "--rm", "-i", "--user", "0:0", *mount, "--entrypoint", "tar", image)
        subprocess.run(["docker", *unpack, "-xp", "--numeric-owner", "-C", place], input=data, check=True)
        docker("run", "-d", "--name", name, *mount, *given, image, *command)
        yield address(name)
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)
        subprocess.run(["docker", "volume", "rm", "-f", name], capture_output=True, check=False)


def address(name: str) -> str:
    """Where a container is reached."""
    return docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name).strip()


def opened(lab: Lab, project: ComposeProject) -> Work:
    """A deployed project, opened for work."""
    files = [project.path(file) for file in project.files]
    ref = StackRef(files=files, project_name=project.name)
    return open_work(Home(lab.ops_home), ref, Engine.connect())


def component(work: Work, name: str) -> Component:
    """One component, as the inventory sees it now."""
    return inventory(work)[1].named(name)


def saving(work: Work, of: Component, spool: Path, stopping: Stopping, files: MemoryFiles | None = None) -> Saving:
    """What a procedure is given, with files kept in memory."""
    spool.mkdir(parents=True, exist_ok=True)
    return Saving(work=work, component=of, files=files or MemoryFiles(), stopping=stopping, spool=spool)
