"""Images for tests, made on this machine: busybox from Debian's package, and variants of it."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

BUSYBOX = "t-bb:1"
LABEL = "sutazai.tests"
_PASSWD = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
_made: list[str] = []


def present(tag: str) -> bool:
    """Whether the engine has an image of this name."""
    return subprocess.run(["docker", "image", "inspect", tag], capture_output=True, check=False).returncode == 0


def busybox(
    tag: str = BUSYBOX,
    *,
    changes: Iterable[str] = (),
    applets: Iterable[str] | None = None,
    files: Mapping[str, str] | None = None,
) -> str:
    """An image with busybox in /bin and nothing else; made if the engine does not have it.

    Args:
        tag: Its name; give variants a `t-` name of their own.
        changes: Dockerfile lines for `docker import -c`, such as `VOLUME /data`, `EXPOSE 80`, `USER 65534`.
        applets: Only these links to busybox; all of them by default.
        files: Text files to put in, by absolute path.
    """
    if present(tag):
        return tag
    lines = ['CMD ["sh"]', "ENV PATH=/bin", f"LABEL {LABEL}=1", *changes]
    options = [word for line in lines for word in ("-c", line)]
    archive = _archive(_program(), applets, files or {})
    subprocess.run(["docker", "import", *options, "-", tag], input=archive, capture_output=True, check=True)
    _made.append(tag)
    return tag


def remove_made() -> None:
    """Remove the images that this process made (a container that still uses one keeps it)."""
    while _made:
        subprocess.run(["docker", "image", "rm", _made.pop()], capture_output=True, check=False)


@cache
def _program() -> bytes:
    """The static busybox of Debian's package, from the machine's own package sources."""
    with tempfile.TemporaryDirectory(prefix="t-busybox-") as place:
        # apt's sandbox user cannot write here and apt says so on stderr; root does the download then
        subprocess.run(
            ["apt-get", "download", "-qq", "-o", "Acquire::Retries=5", "busybox-static"],
            cwd=place,
            capture_output=True,
            check=True,
        )
        (package,) = Path(place).glob("*.deb")
        subprocess.run(["dpkg", "-x", str(package), f"{place}/x"], check=True)
        return next(Path(place, "x").glob("**/bin/busybox")).read_bytes()


def _archive(program: bytes, applets: Iterable[str] | None, files: Mapping[str, str]) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        _directory(tar, "tmp", 0o1777)
        _file(tar, "bin/busybox", program, 0o755)
        for name in _applets(program) if applets is None else applets:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for path, text in {"/etc/passwd": _PASSWD, **files}.items():
            _file(tar, path.lstrip("/"), text.encode(), 0o755)
    return memory.getvalue()


def _applets(program: bytes) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="t-busybox-") as place:
        path = Path(place, "busybox")
        path.write_bytes(program)
        path.chmod(0o755)
        listed = subprocess.run([str(path), "--list"], capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split() if name != "busybox"]


def _directory(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
