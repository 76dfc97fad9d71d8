"""RUNBOOK.md: how to restore one backup by hand, with standard tools, when nothing of ours is left."""

from __future__ import annotations

import posixpath
import shlex

from compose.stack.backup.component import Kind
from compose.stack.backup.layout import plain_path
from compose.stack.backup.manifest import MANIFEST, SIGNATURE, ComponentRecord, FileRecord, Manifest
from compose.stack.backup.runbook_kinds import steps

FIRST = (Kind.CONFIGURATION, Kind.IMAGES)
"""They say what the volumes are and what runs on them."""
PLAIN = "plain"
KEY = "identity.txt"


def runbook(manifest: Manifest) -> str:
    """The commands for exactly what a backup holds; every one can be pasted as it is.

    Nothing secret is in it. Names that come from the stack are quoted.
    """
    sealed = any("age" in file.encodings for file in manifest.files)
    parts = [_head(manifest), _tools(manifest, sealed), _check(manifest), _open(manifest, sealed)]
    first = [one for one in manifest.components if one.kind in FIRST]
    parts += [_component(component, manifest) for component in first]
    parts.append(_made(manifest))
    parts += [_component(component, manifest) for component in _ordered(manifest)]
    parts.append(_end(manifest))
    return "\n\n".join(part for part in parts if part) + "\n"


def block(*commands: str) -> str:
    """Commands as a block of a page."""
    return "```sh\n" + "\n".join(commands) + "\n```"


def opening(file: FileRecord, source: str, plain: str) -> str:
    """The command that makes a plain file of a stored one."""
    first, *rest = [
        *([f"age -d -i {KEY}"] if "age" in file.encodings else []),
        *(["zstd -d -q -c"] if "zstd" in file.encodings else []),
    ] or ["cat"]
    read = f"{first} < {shlex.quote(source)}"
    return " | ".join([read, *rest]) + f" > {shlex.quote(plain)}"


def _head(manifest: Manifest) -> str:
    whole = (
        ""
        if manifest.complete
        else "\n\n**It is not complete.** Missing: " + ", ".join(_text(one.what) for one in manifest.missing)
    )
    return (
        f"# Restore {manifest.id} by hand\n\n"
        f"Backup of the stack `{_text(manifest.stack)}` (compose project `{_text(manifest.project)}`) on"
        f" `{_text(manifest.host)}`, begun {manifest.began:%Y-%m-%d %H:%M:%S %Z}; its data is of"
        f" {manifest.age:%Y-%m-%d %H:%M:%S %Z}.{whole}\n\n"
        "Work on a copy of this directory, as a user who may read it, in `sh`. Each block stops at its first"
        " error if you begin with `set -eu`. Restore into volumes and servers that nobody uses."
    )


def _tools(manifest: Manifest, sealed: bool) -> str:
    tools = ["sha256sum", "openssl 3", "docker"]
    tools += ["zstd"] if any("zstd" in file.encodings for file in manifest.files) else []
    tools += ["age, and the key of one of the recipients below"] if sealed else []
    pooled = any(component.pool for component in manifest.components)
    tools += ["jq", "setfattr, where files have extended attributes or ACLs"] if pooled else []
    tools += ["curl"] if any(component.kind == "qdrant" for component in manifest.components) else []
    lines = [f"- {tool}" for tool in tools]
    who = [f"- `{_text(name)}`" for name in manifest.recipients]
    opened = ["", "Whoever holds one of these keys can open it:", "", *who] if sealed else []
    return "\n".join(["## 1. What you need", "", *lines, *opened])


def _check(manifest: Manifest) -> str:
    sums = [f"{file.stored.sha256}  {file.path}" for file in manifest.files]
    return "\n\n".join(
        (
            "## 2. Is it what was written?",
            "Take the public key from a place that you trust (`openssl pkey -pubout` makes it of the host's"
            " `keys/backup-signing.key`); the copy in `../../public.pem` proves only as much as that place.",
            block(
                "openssl pkeyutl -verify -pubin -inkey ../../public.pem \\",
                f"  -rawin -in {MANIFEST} -sigfile {SIGNATURE}",
                "sha256sum -c - <<'END'",
                *sums,
                "END",
            ),
        )
    )


def _open(manifest: Manifest, sealed: bool) -> str:
    key = f"Put your key into the file `{KEY}` here; remove it afterwards." if sealed else ""
    plain = {file: posixpath.join(PLAIN, plain_path(file.path, file.encodings)) for file in manifest.files}
    directories = sorted({posixpath.dirname(path) for path in plain.values()})
    commands = ["umask 077", *(f"mkdir -p {shlex.quote(name)}" for name in directories)]
    commands += [opening(file, file.path, path) for file, path in plain.items()]
    sums = [f"{file.plain.sha256}  {path}" for file, path in plain.items()]
    again = block("sha256sum -c - <<'END'", *sums, "END")
    return "\n\n".join(part for part in ("## 3. Open it", key, block(*commands), again) if part)


def _component(component: ComponentRecord, manifest: Manifest) -> str:
    tool = f"Written by {_text(component.tool)} {_text(component.tool_version)}." if component.tool else ""
    image = f"Image: `{_text(component.image)}` (`{_text(component.image_id)}`)." if component.image else ""
    notes = "\n".join(f"- {_text(note)}" for note in component.notes)
    said = " ".join(part for part in (tool, image) if part)
    parts = [f"## {_text(component.name)} ({component.kind.value})", said, notes]
    for step in steps(component, manifest):
        if step:
            parts.append(block(*step) if isinstance(step, tuple) else step)
    return "\n\n".join(part for part in parts if part)


def _made(manifest: Manifest) -> str:
    """The stack without its data: the containers, networks and volumes that the steps after it work on."""
    if not manifest.compose:
        return ""
    return "\n\n".join(
        (
            "## The stack, empty",
            "On a machine that has none of it: containers, networks and volumes are made, nothing is started.",
            block(shlex.join((*manifest.compose, "up", "--no-start"))),
        )
    )


def _ordered(manifest: Manifest) -> list[ComponentRecord]:
    """Databases that have to run for it before those whose files are put in place, each by name."""
    return sorted(
        (one for one in manifest.components if one.kind not in FIRST),
        key=lambda one: (one.kind not in (Kind.POSTGRES, Kind.QDRANT), one.name),
    )


def _end(manifest: Manifest) -> str:
    left = [f"- {_text(name)}" for name in manifest.left_out]
    waived = [f"- {_text(one.what)}: {_text(one.reason)}" for one in manifest.waived]
    whole = shlex.join((*manifest.compose, "up", "-d"))
    parts = ["## Afterwards"]
    parts += ["Start whatever does not run yet, and look at it.", block(whole)] if manifest.compose else []
    parts += [f"Remove `{PLAIN}`, `restored-configuration` and `{KEY}`: they hold everything in clear."]
    parts += ["Left out, because nothing encrypted it:", "\n".join(left)] if left else []
    parts += ["Not saved, on purpose:", "\n".join(waived)] if waived else []
    return "\n\n".join(parts)


def _text(value: str) -> str:
    """Text in a page: one line, no markup of its own."""
    return " ".join(value.split()).replace("`", "'").replace("<", "(")[:500]
