"""Files and directories that the stack needs on this machine: bind sources, builds, secrets, configs."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from compose.stack.preflight.findings import Finding
from compose.stack.preflight.host import HostFacts
from compose.stack.preflight.sources import truth
from compose.stack.service import Mount, Service, Stack

_FILE = re.compile(
    r"\.(?:conf|cfg|cnf|ini|ya?ml|json5?|toml|xml|properties|env|sh|bash|py|js|ts|sql|lua|txt|md|html?|css|csv|crt|cer|"
    r"pem|key|p12|jks|pub|sock|rules?|hcl|tmpl|template|acl|htpasswd|service|list|db|sqlite3?|repo|gpg|lock)$|"
    r"^(?:Caddyfile|Dockerfile|Makefile|passwd|group|hosts|resolv\.conf|id_[a-z0-9]+|authorized_keys|\.htpasswd|\.env)$"
)
_REMOTE = re.compile(r"^(?:https?://|git://|ssh://|git@|github\.com/|oci-layout://|docker-image://)")
_COMMIT = re.compile(r"#[0-9a-f]{40}(?::|$)")


def looks_like_file(path: str) -> bool:
    """Whether a name is a file's rather than a directory's."""
    return bool(_FILE.search(posixpath.basename(path)))


def wanted_paths(stack: Stack) -> frozenset[str]:
    """Every path whose kind the checks want to know (Dockerfiles' own copies come later)."""
    paths = {mount.source for _, _, mount in _binds(stack) if mount.source}
    paths |= {path for _, path in _resource_files(stack)}
    for service in stack.services.values():
        build = _build(service)
        if build:
            paths.add(str(build["context"]))
            if dockerfile(build):
                paths.add(dockerfile(build))
    return frozenset(paths)


def check_paths(stack: Stack, host: HostFacts) -> Iterator[Finding]:
    """What is missing, or of another kind than its use needs."""
    for name, key, mount in _binds(stack):
        yield from _bind(name, key, mount, host.paths.get(mount.source or "", "unknown"))
    for key, path in _resource_files(stack):
        if host.paths.get(path) in {"missing", "directory"}:
            state = host.paths[path].replace("directory", "a directory")
            yield Finding("resource-file-missing", f"{path} is {state}", key=key)
    for service in stack.services.values():
        yield from _builds(service, host)


def _binds(stack: Stack) -> Iterator[tuple[str, str, Mount]]:
    for service in stack.services.values():
        for index, mount in enumerate(service.mounts):
            if mount.kind == "bind" and mount.source:
                yield service.name, f"volumes.{index}", mount


def _bind(service: str, key: str, mount: Mount, kind: str) -> Iterator[Finding]:
    source = mount.source or ""
    is_file = looks_like_file(source) or looks_like_file(mount.target)
    if kind == "missing" and not mount.create_host_path:
        yield Finding("bind-missing", f"{mount.source} does not exist", service, key)
    elif kind == "missing" and is_file:
        what = f"{mount.source} does not exist; Docker would make an empty directory of that name"
        yield Finding("bind-not-file", what, service, key)
    elif kind == "missing":
        yield Finding("bind-created", f"{mount.source} does not exist and will be made, empty", service, key)
    elif kind == "directory" and is_file and looks_like_file(source):
        yield Finding("bind-not-file", f"{mount.source} is a directory", service, key,
                      next="remove the directory (Docker may have made it) and put the file there")  # fmt: skip


def _resource_files(stack: Stack) -> Iterator[tuple[str, str]]:
    used = {
        (section, str(entry.get("source") if isinstance(entry, Mapping) else entry))
        for service in stack.services.values()
        for section in ("secrets", "configs")
        for entry in service.raw.get(section) or ()
    }
    for section in ("secrets", "configs"):
        for name, body in stack.section(section).items():
            if body.get("file") and (section, name) in used and not truth(body.get("external") or ""):
                yield f"{section}.{name}.file", str(body["file"])


def _build(service: Service) -> Mapping[str, Any] | None:
    build = service.raw.get("build")
    if not isinstance(build, Mapping) or not build.get("context"):
        return None
    return None if _REMOTE.match(str(build["context"])) else build


def dockerfile(build: Mapping[str, Any]) -> str:
    """The path of a build's Dockerfile; empty when it is written inside the compose file."""
    if build.get("dockerfile_inline"):
        return ""
    return posixpath.normpath(posixpath.join(str(build["context"]), str(build.get("dockerfile") or "Dockerfile")))


def _builds(service: Service, host: HostFacts) -> Iterator[Finding]:
    raw = service.raw.get("build")
    context = str(raw.get("context") or "") if isinstance(raw, Mapping) else ""
    if _REMOTE.match(context) and not _COMMIT.search(context):
        where = re.sub(r"//[^/@]*@", "//", context.split("#")[0])  # a token may stand there
        yield Finding("moving-build", f"{where} is taken from a moving branch", service.name,
                      "build.context")  # fmt: skip
    build = _build(service)
    if build is None:
        return
    for code, key, what in _build_problems(build, host):
        if service.image in host.images:
            yield Finding("build-not-repeatable", f"{what}; the image is here", service.name, key)
        else:
            yield Finding(code, what, service.name, key)


def _build_problems(build: Mapping[str, Any], host: HostFacts) -> Iterator[tuple[str, str, str]]:
    context, file = str(build["context"]), dockerfile(build)
    if host.paths.get(context) == "missing":
        yield "build-context-missing", "build.context", f"{context} does not exist"
        return
    if file and host.paths.get(file) == "missing":
        yield "dockerfile-missing", "build.dockerfile", f"{file} does not exist"
        return
    for source in copied(host.dockerfiles.get(file, "")):
        if host.paths.get(posixpath.normpath(f"{context}/{source}")) == "missing":
            what = f"{posixpath.basename(file)} copies {source}, which {context} lacks"
            yield "copy-source-missing", "build.dockerfile", what


def copied(text: str) -> tuple[str, ...]:
    """The paths in the context that a Dockerfile copies; those with patterns or variables are left out."""
    joined = re.sub(
        r"\\[ \t]*\n", " ", "\n".join(line for line in text.splitlines() if not re.match(r"\s*#", line))
    )
    found: list[str] = []
    for line in joined.splitlines():
        match = re.match(r"\s*(?:COPY|ADD)\s+(.*)$", line, re.IGNORECASE)
        if not match:
            continue
        try:
            words = [word.strip("[],") for word in shlex.split(match[1].replace('","', '" "').replace('",', '" '))]
        except ValueError:
            continue
        if any(word.startswith("--from") for word in words):
            continue
        sources = [word for word in words if word and not word.startswith("--")][:-1]
        found += [word for word in sources if not re.search(r"[*?$<]|\[|^https?:|^git@", word)]
    return tuple(dict.fromkeys(word.lstrip("/") or "." for word in found))
