"""The door to the Docker engine: what containers and images there are, starting and stopping them."""

from __future__ import annotations

import io
import logging
import os
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import docker
import docker.errors
import requests.exceptions
from docker.context import ContextAPI
from docker.context.config import get_current_context_name

from compose.stack.errors import Failed, Refused
from compose.stack.observed import (
    CONFIG_HASH,
    PROJECT,
    SERVICE,
    Container,
    Observed,
    parse_container,
    parse_listed,
    without_one_offs,
)

log = logging.getLogger("ops.engine")
TIMEOUT = 60
AGAIN = "./ops doctor, then the same command again"
GONE = (docker.errors.NotFound,)
UNREACHABLE = (requests.exceptions.ConnectionError, requests.exceptions.ReadTimeout)


@dataclass(frozen=True)
class Engine:
    """A connection to one engine.

    Args:
        client: The docker SDK's client, from a DockerHost block or from the environment.
    """

    client: Any

    @classmethod
    def connect(cls) -> Engine:
        """Connect as the docker command does: DOCKER_HOST, else its current context, else the local socket.

        Raises:
            Refused: No engine answers.
        """
        try:
            host = "" if os.environ.get("DOCKER_HOST") else context_host()
            if host:
                return cls(docker.DockerClient(host, timeout=TIMEOUT, max_pool_size=128)).check()
            return cls(docker.from_env(timeout=TIMEOUT, max_pool_size=128)).check()
        except docker.errors.DockerException as error:
            raise Refused(f"no Docker engine answers: {error}", next="./ops up, or start the engine") from None

    def check(self) -> Engine:
        """Ask for a sign of life.

        Raises:
            Refused: The engine does not answer.
        """
        try:
            self.client.ping()
        except (*UNREACHABLE, docker.errors.APIError) as error:
            raise Refused(f"the Docker engine does not answer: {error}", next="./ops doctor") from None
        return self

    @property
    def id(self) -> str:
        """The engine's own id."""
        with talking():
            return str(self.client.info().get("ID") or "local")

    def observe(self, project: str) -> Observed:
        """All containers of a compose project."""
        found = self._list(project)
        with talking(), ThreadPoolExecutor(8) as pool:
            read = list(pool.map(self._read, [c["Id"] for c in found]))
        return without_one_offs(one for one in read if one)

    def inspections(self, project: str) -> tuple[Mapping[str, Any], ...]:
        """Everything that the engine knows of each container of a project, as `docker inspect` gives it."""
        found = self._list(project)
        with talking(), ThreadPoolExecutor(8) as pool:
            return tuple(one for one in pool.map(self._inspect, [c["Id"] for c in found]) if one)

    def changes(self, container: str) -> tuple[Mapping[str, Any], ...]:
        """The paths of its own layer that a container made, changed or removed, as `docker diff` gives them."""
        with talking():
            return tuple(self.client.api.diff(container) or ())

    def glance(self, project: str) -> Observed:
        """All containers of a compose project as the engine lists them, in one call however many they are."""
        return without_one_offs(parse_listed(one) for one in self._list(project))

    def observe_service(self, project: str, service: str) -> tuple[Container, ...]:
        """The containers of one service of a compose project."""
        found = self._list(project, f"{SERVICE}={service}")
        with talking():
            read = [self._read(one["Id"]) for one in found]
        return without_one_offs(one for one in read if one).of(service)

    def _list(self, project: str, *labels: str) -> list[Mapping[str, Any]]:
        with talking():
            # images that Compose built carry the project's label too: only containers have the hash
            wanted = [f"{PROJECT}={project}", CONFIG_HASH, *labels]
            return list(self.client.api.containers(all=True, filters={"label": wanted}))

    def inspect(self, container: str) -> Container | None:
        """One container, None when it is gone."""
        with talking():
            return self._read(container)

    def _read(self, container: str) -> Container | None:
        """One container, with the network of the one in whose namespace it lives."""
        raw = self._inspect(container)
        if raw is None:
            return None
        mode = str((raw.get("HostConfig") or {}).get("NetworkMode") or "")
        host = self._inspect(mode.removeprefix("container:")) if mode.startswith("container:") else None
        found = parse_container({**raw, "NetworkSettings": host.get("NetworkSettings")} if host else raw)
        # what an engine elsewhere publishes is not on this machine
        return found if self.on_this_machine else replace(found, published={})

    @property
    def on_this_machine(self) -> bool:
        """Whether the engine is talked to by a socket of this machine."""
        return str(getattr(self.client.api, "base_url", "")).startswith("http+docker://localhost")

    def _inspect(self, container: str) -> Mapping[str, Any] | None:
        try:
            return dict(self.client.api.inspect_container(container))
        except GONE:
            return None

    def start(self, container: str) -> None:
        """Start a container that exists.

        Raises:
            Failed: The engine refused; its reason is the message.
        """
        try:
            self.client.api.start(container)
        except docker.errors.APIError as error:
            raise Failed(str(error.explanation or error)) from None
        except UNREACHABLE as error:
            raise Failed(f"the Docker engine went away: {error}", next=AGAIN) from None

    def stop(self, container: str, grace: int | None = None) -> None:
        """Stop a container with its own grace period, or one in seconds."""
        with talking():
            try:
                self.client.api.stop(container, timeout=grace)
            except GONE:
                return

    def restart(self, container: str) -> None:
        """Stop and start a container."""
        with talking():
            self.client.api.restart(container)

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""
        with talking():
            self.client.api.rename(container, name)

    def remove(self, container: str) -> None:
        """Remove a stopped container; its volumes stay."""
        with talking():
            self.client.api.remove_container(container, v=False)

    def run_in(self, container: str, argv: tuple[str, ...], limit: float) -> tuple[int, str]:
        """Run a command inside a container; its exit code and what it printed. 124 after `limit` seconds.

        Its environment is the container's own: nothing secret is in the command line.
        """
        result: list[tuple[int, str]] = []

        def work() -> None:
            try:
                made = self.client.api.exec_create(container, list(argv), stdin=False)
                output = self.client.api.exec_start(made["Id"])
                code = self.client.api.exec_inspect(made["Id"])["ExitCode"]
                result.append((127 if code is None else int(code), output.decode(errors="replace")))
            except (docker.errors.APIError, *UNREACHABLE) as error:
                result.append((126, str(getattr(error, "explanation", None) or error)))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(limit)
        return result[0] if result else (124, f"no answer in {limit:.0f} s")

    def logs(self, container: str, lines: int = 20, since: int | None = None) -> str:
        """The last lines that a container printed."""
        try:
            raw = self.client.api.logs(container, tail=lines, stdout=True, stderr=True, since=since)
        except (docker.errors.APIError, *UNREACHABLE):
            return ""
        return bytes(raw).decode(errors="replace")

    def images(self, references: Iterable[str]) -> dict[str, str | None]:
        """The id of each image, None for one that is not here."""
        wanted = sorted(set(references))
        with talking(), ThreadPoolExecutor(8) as pool:
            return dict(zip(wanted, pool.map(self._image_id, wanted), strict=True))

    def _image_id(self, reference: str) -> str | None:
        try:
            return str(self.client.api.inspect_image(reference)["Id"])
        except docker.errors.APIError:
            return None

    def image(self, reference: str) -> Mapping[str, Any] | None:
        """What the engine knows of an image, None when it is not here."""
        with talking():
            try:
                return dict(self.client.api.inspect_image(reference))
            except GONE:
                return None

    def pull(self, reference: str, progress: Callable[[str], None] = lambda _: None) -> str:
        """Get an image from its registry; empty when it is here, else why not.

        A registry that says nothing for a minute has hung.

        Args:
            progress: Told of every layer that is complete.
        """
        repository, _, tag = (
            reference.rpartition(":") if ":" in reference.split("/")[-1] else (reference, "", "latest")
        )
        try:
            for line in self.client.api.pull(
                reference if "@" in reference else repository,
                None if "@" in reference else tag,
                stream=True,
                decode=True,
            ):
                if line.get("error"):
                    return str(line["error"])
                if line.get("status") == "Pull complete":
                    progress(str(line.get("id")))
        except docker.errors.APIError as error:
            return str(error.explanation or error)
        except (*UNREACHABLE, requests.exceptions.RequestException) as error:
            return f"no sign of life from the registry for {TIMEOUT} s ({type(error).__name__})"
        return ""

    def tag(self, image: str, reference: str) -> None:
        """Give an image a (further) tag."""
        repository, _, tag = (
            reference.rpartition(":") if ":" in reference.split("/")[-1] else (reference, "", "latest")
        )
        with talking():
            self.client.api.tag(image, repository, tag)

    def untag(self, reference: str) -> None:
        """Take a tag away; the image itself stays while anything else refers to it."""
        with talking():
            try:
                self.client.api.remove_image(reference, noprune=False)
            except docker.errors.APIError as error:
                log.debug("tag %s stays: %s", reference, error)

    def tagged(self, repository: str) -> dict[str, str]:
        """The image's id of each tag in a repository."""
        with talking():
            found = self.client.api.images(filters={"reference": f"{repository}:*"})
        mine = f"{repository}:"
        tags = ((tag, str(image["Id"])) for image in found for tag in image.get("RepoTags") or ())
        return {tag: image for tag, image in tags if tag.startswith(mine)}

    def volume_exists(self, name: str) -> bool:
        """True when there is a volume of this name."""
        with talking():
            try:
                self.client.api.inspect_volume(name)
            except GONE:
                return False
        return True

    def volume_sizes(self) -> dict[str, int | None]:
        """Bytes of every volume, None where the engine does not tell."""
        with talking():
            usage = self.client.api.df().get("Volumes") or ()
        sizes = {str(v["Name"]): int((v.get("UsageData") or {}).get("Size", -1)) for v in usage}
        return {name: size if size >= 0 else None for name, size in sizes.items()}

    def read_from_volume(self, image: str, volume: str, paths: Iterable[str]) -> str | None:
        """The text of the first of these files on a volume, through a container that is never started.

        Args:
            image: Any image; nothing of it is run.
            volume: A volume's name or a host path.
            paths: Below the volume's root.
        """
        with talking():
            config = self.client.api.create_host_config(binds=[f"{volume}:/ops-volume:ro"])
            made = self.client.api.create_container(
                image, command=["true"], host_config=config, network_disabled=True
            )
            try:
                found = (self._file(made["Id"], f"/ops-volume/{path}") for path in paths)
                return next((text for text in found if text is not None), None)
            finally:
                self.client.api.remove_container(made["Id"], v=True, force=True)

    def _file(self, container: str, path: str) -> str | None:
        try:
            stream, _ = self.client.api.get_archive(container, path)
        except GONE:
            return None
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            member = archive.extractfile(archive.next() or path)
            return member.read(65536).decode(errors="replace").strip() if member else None

    def volumes(self, project: str = "") -> tuple[Mapping[str, Any], ...]:
        """The volumes that carry a project's label; all volumes without one."""
        with talking():
            found = self.client.api.volumes(filters={"label": f"{PROJECT}={project}"} if project else None)
        return tuple(found.get("Volumes") or ())


def context_host() -> str:
    """The address that the docker command's current context names; empty for the default one."""
    chosen = os.environ.get("DOCKER_CONTEXT") or get_current_context_name() or "default"
    if chosen == "default":
        return ""
    found = ContextAPI.get_context(chosen)
    if found is None:
        raise Refused(f"there is no docker context {chosen}", next="docker context ls")
    return str(found.Host or "")


@contextmanager
def talking() -> Iterator[None]:
    """Turn an engine that went away, or refused, into an error that people can act on."""
    try:
        yield
    except UNREACHABLE as error:
        raise Failed(f"the Docker engine went away: {error}", next=AGAIN) from None
    except docker.errors.APIError as error:
        raise Failed(str(error.explanation or error)) from None


Exec = Callable[[str, tuple[str, ...], float], tuple[int, str]]
