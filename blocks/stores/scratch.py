"""Scratch containers: a store's own tool reads what was saved, away from the store and from the network."""

from __future__ import annotations

import io
import json
import logging
import secrets
import socket
import tarfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import docker.errors
import requests.exceptions

from blocks.backup.stop_journal import lives, this_process
from blocks.engine import GONE, UNREACHABLE, Engine, talking
from compose.stack.backup.stop_journal import Holder
from compose.stack.backup.tools import undecided
from compose.stack.errors import Failed

log = logging.getLogger("ops.scratch")
LABEL = "org.sutazai.scratch"
PLACE = "/scratch"
WORK = f"{PLACE}/work"
MEBIBYTE = 1024 * 1024
LIMIT = 3600
OUTPUT_LINES = 200


@dataclass(frozen=True)
class Tool:
    """A program of an image.

    Args:
        memory: Limit in bytes.
        disk: Give it an empty volume at /scratch; it runs as root then, without any capability.
        user: Somebody else than that.
        seconds: How long it may take.
    """

    argv: tuple[str, ...]
    memory: int = 512 * MEBIBYTE
    disk: bool = False
    environment: tuple[str, ...] = ()
    user: str = ""
    seconds: int = LIMIT


def run_fed(engine: Engine, image: str, tool: Tool, chunks: Iterable[bytes]) -> tuple[int, str]:
    """Run a tool that reads a stream on its standard input; its exit code and what it printed.

    Raises:
        Failed: The image is not here, the engine refused, or the tool had no time, memory or room: nothing is
            known of what it read.
    """
    with _container(engine, image, tool, stdin=True) as made, talking():
        api = engine.client.api
        wire = api.attach_socket(made, params={"stdin": 1, "stream": 1})
        inner = getattr(wire, "_sock", wire)
        try:
            api.start(made)
            with _hanging_up(engine, made, inner, tool.seconds):
                _feed(inner, chunks, tool.seconds)
                return _end(engine, made, tool.seconds)
        finally:
            with suppress(OSError):
                inner.close()


def run_on_archive(engine: Engine, image: str, tool: Tool, chunks: Iterable[bytes]) -> tuple[int, str]:
    """Unpack a tar stream at /scratch, then run a tool that looks at it; see `run_fed`."""
    with _container(engine, image, tool, stdin=False) as made, talking():
        if not engine.client.api.put_archive(made, PLACE, iter(chunks)):
            raise Failed("the archive could not be unpacked", where=image)
        engine.client.api.start(made)
        return _end(engine, made, tool.seconds)


@contextmanager
def standing(engine: Engine, image: str, tool: Tool) -> Iterator[str]:
    """A tool that goes on until the block ends, with a folder at /scratch/work that anybody may write to.

    Args:
        tool: With a disk.

    Yields:
        Its container's id.

    Raises:
        Failed: The image is not here, or the engine refused.
    """
    with _container(engine, image, tool, stdin=False) as made:
        with talking():
            engine.client.api.put_archive(made, PLACE, _open_folder())
        engine.start(made)
        yield made


def _open_folder() -> bytes:
    memory, folder = io.BytesIO(), tarfile.TarInfo("work")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
    with tarfile.open(fileobj=memory, mode="w") as archive:
        archive.addfile(folder)
    return memory.getvalue()


def sweep(engine: Engine) -> list[str]:
    """Remove what dead runs left behind; the names of it."""
    gone: list[str] = []
    with talking():
        api = engine.client.api
        for one in api.containers(all=True, filters={"label": LABEL}):
            if _left(one.get("Labels") or {}):
                with suppress(docker.errors.APIError):
                    api.remove_container(one["Id"], v=True, force=True)
                    gone += [str(name).lstrip("/") for name in one.get("Names") or ()]
        for one in api.volumes(filters={"label": LABEL}).get("Volumes") or ():
            if _left(one.get("Labels") or {}):
                with suppress(docker.errors.APIError):
                    api.remove_volume(one["Name"], force=True)
                    gone.append(str(one["Name"]))
    return gone


def remove_of(engine: Engine, holder: Holder, prefix: str) -> None:
    """Remove the scratch containers of one process whose names begin so, whether it lives or not."""
    with talking():
        for one in engine.client.api.containers(all=True, filters={"label": LABEL, "name": f"^/{prefix}"}):
            if (one.get("Labels") or {}).get(LABEL) == _label(holder):
                with suppress(docker.errors.APIError):
                    engine.client.api.remove_container(one["Id"], v=True, force=True)


def holder_label() -> dict[str, str]:
    """The label that says which process a scratch thing belongs to."""
    return {LABEL: _label(this_process())}


def _label(holder: Holder) -> str:
    return json.dumps({"host": socket.gethostname(), **asdict(holder)})


def _left(labels: dict[str, str]) -> bool:
    """Whether the process on this machine that made it is gone; what others made is theirs."""
    try:
        said = json.loads(labels.get(LABEL) or "{}")
        return said.pop("host") == socket.gethostname() and not lives(Holder(**said))
    except (ValueError, TypeError, KeyError):
        return False


@contextmanager
def _container(engine: Engine, image: str, tool: Tool, *, stdin: bool) -> Iterator[str]:
    api = engine.client.api
    name = f"t-scratch-{secrets.token_hex(6)}"
    if engine.image(image) is None:
        raise Failed("the image whose tool reads this is not here", where=image, next="build or pull it")
    try:
        with talking():
            if tool.disk:
                api.create_volume(name, labels=holder_label())
            made = api.create_container(
                image,
                command=list(tool.argv[1:]),
                entrypoint=[tool.argv[0]],
                name=name,
                user=tool.user or ("0:0" if tool.disk else None),
                environment=list(tool.environment),
                labels=holder_label(),
                stdin_open=stdin,  # the SDK sets StdinOnce with it: our end is the end of the tool's input
                healthcheck={"test": ["NONE"]},
                host_config=_host(api, tool, name),
                **({"working_dir": PLACE} if tool.disk else {}),
            )
        yield str(made["Id"])
    finally:
        _remove(api, name, disk=tool.disk)


def _host(api: Any, tool: Tool, name: str) -> Any:
    return api.create_host_config(
        network_mode="none",
        read_only=True,
        mem_limit=tool.memory,
        memswap_limit=tool.memory,
        pids_limit=512,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        tmpfs={"/tmp": "size=64m,mode=1777,exec"},
        binds=[f"{name}:{PLACE}"] if tool.disk else None,
        log_config={"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
    )


def _remove(api: Any, name: str, *, disk: bool) -> None:
    with suppress(*GONE, docker.errors.APIError, *UNREACHABLE):
        api.remove_container(name, v=True, force=True)
    if disk:
        with suppress(*GONE, docker.errors.APIError, *UNREACHABLE):
            api.remove_volume(name, force=True)


def _feed(wire: Any, chunks: Iterable[bytes], seconds: int) -> None:
    """Give it everything; a tool that ends early says why with its exit code."""
    wire.settimeout(seconds)
    try:
        for chunk in chunks:
            wire.sendall(chunk)
        half = getattr(wire, "shutdown_write", None)
        half() if half else wire.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        log.debug("the tool took no more input")
    except OSError as error:
        raise Failed(f"the scratch container took no more input: {error}") from None


@contextmanager
def _hanging_up(engine: Engine, container: str, wire: Any, seconds: int) -> Iterator[None]:
    """Break the connection when the tool ends early: the engine itself would let us wait for ever."""

    def wait() -> None:
        with suppress(docker.errors.APIError, requests.exceptions.RequestException, OSError):
            engine.client.api.wait(container, timeout=seconds)
            wire.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield
    thread.join()


def _end(engine: Engine, container: str, seconds: int) -> tuple[int, str]:
    try:
        code = int(engine.client.api.wait(container, timeout=seconds)["StatusCode"])
    except requests.exceptions.RequestException:
        raise Failed(f"the tool did not end in {seconds} s") from None
    found = engine.inspect(container)
    said = engine.logs(container, OUTPUT_LINES).strip()
    why = undecided(code, said, starved=found is not None and found.oom_killed)
    if why:
        raise Failed(f"the tool that reads it {why} (code {code})")
    return code, said
