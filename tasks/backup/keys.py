"""Keys: making one, proving that somebody holds it, giving old backups to others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyrage

from blocks.backup.identities import Identities, read_identities
from blocks.backup.proof import prove as proven
from blocks.backup.proof import require_proven
from blocks.backup.rekey import rekey_backup
from blocks.backup.sealing import parse_recipients
from blocks.engine import Engine
from blocks.home import Home
from compose.stack.backup.outcome import WorkReport
from compose.stack.backup.request import RekeyRequest
from compose.stack.errors import Exit, OpsError, Refused
from tasks.backup.shelves import Shelves, gather
from tasks.backup.turn import backup_turn
from tasks.operate import open_stack
from tasks.steps import Steps


def new(home: Home, path: Path) -> str:
    """Make a key of age in a new file that only its owner reads; its public half.

    Raises:
        Refused: The file is there already, or lies where the backups' own state is: a key that is lost with the
            machine, or found with the backups, is none.
    """
    path = path.expanduser().absolute()
    if home.path.resolve() in path.resolve().parents:
        raise Refused("a key does not lie beside what it opens", where=str(path), next="a place on another disk")
    identity = pyrage.x25519.Identity.generate()
    public = str(identity.to_public())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused("is there already: no key is overwritten", where=str(path), next="another name") from None
    except OSError as error:
        raise Refused(f"cannot be made: {error.strerror}", where=str(path)) from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"# public key: {public}\n{identity}\n")
        file.flush()
        os.fsync(file.fileno())
    return public


def prove(home: Home, source: str, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Prove, by opening what was sealed to recipients, that somebody holds their key.

    Args:
        source: The key's file, or `fd:N`.
        names: Recipients; those of the settings by default.
    """
    recipients = parse_recipients("\n".join(names) or home.settings()["OPS_BACKUP_RECIPIENTS"])
    if not recipients:
        raise Refused("there is no recipient (OPS_BACKUP_RECIPIENTS)", where="key", next="./ops key new FILE")
    return tuple(proven(home, recipients, read_identities(source)))


def rekey_backups(request: RekeyRequest, home: Home, runner: Steps) -> WorkReport:
    """Give the backups of a stack, on every target, to other recipients.

    Raises:
        Locked: A backup of this stack runs.
        Refused: No key was given, a recipient is none, or nobody has shown that they hold the key of one to add:
            then nothing was touched.
    """
    if not request.identity:
        raise Refused("no key was given", where="rekey", next="--identity FILE, or fd:N")
    identities = read_identities(request.identity)
    add, remove = (parse_recipients("\n".join(names)) for names in (request.add, request.remove))
    require_proven(home, add)
    project = open_stack(home, request).project
    rows: list[dict[str, Any]] = []
    with backup_turn(Engine.connect().id, project, "rekey"):
        shelves = runner.step("look at every target", lambda: gather(home, request, request.to))
        errors = list(shelves.problems)
        for name in [one.id for one in shelves.views if one.manifest]:
            row, wrong = runner.step(
                f"rekey {name}", partial(_rekeyed, shelves, name, identities, add, remove, home)
            )
            rows.append(row)
            errors += wrong
    said = f"{sum(not row['wrong'] for row in rows)} of {len(rows)} backups can be opened by the new recipients"
    code = Exit.FAILED if errors else Exit.DONE
    notes = [
        "new backups go to OPS_BACKUP_RECIPIENTS: change it too",
        "what was proven was so of the files that are gone: ./ops verify-backup proves the new ones",
    ]
    return WorkReport(
        what="rekey", stack=shelves.stack, headline=said, rows=rows, errors=errors, notes=notes, exit_code=code
    )


def _rekeyed(
    shelves: Shelves,
    name: str,
    identities: Identities,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    home: Home,
) -> tuple[dict[str, Any], list[str]]:
    """Give one backup to others, on every target that has it; its row, and what went wrong."""
    having = shelves.having(name)
    now = set(having[0].manifests[name].recipients)
    wanted = tuple(sorted((now | set(add)) - set(remove)))
    row: dict[str, Any] = {"backup": name, "recipients": len(wanted), "done": "", "wrong": ""}
    if not now:
        return {**row, "done": "is not encrypted: left as it is"}, []
    if not wanted:
        return {**row, "wrong": "nobody could open it"}, [f"{name}: nobody could open it"]
    index = home.stack(shelves.stack) / "pool-index.sqlite"
    try:
        done = rekey_backup([one.shelf for one in having], name, wanted, identities, datetime.now(UTC), index)
    except OpsError as error:
        return {**row, "wrong": error.what}, [f"{name}: {error}"]
    wrong = [f"{target}: {name}: {error}" for target, error in done.errors.items()]
    return {**row, "done": ", ".join(done.done), "wrong": "; ".join(done.errors)}, wrong
