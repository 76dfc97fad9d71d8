"""Finding a stack by name or files, and reading it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import compose
from blocks.compose_cli import ComposeCli
from blocks.files import write_private
from blocks.home import Home
from blocks.releases import ReleaseStore
from blocks.sources import read_sources
from compose.stack import dotenv
from compose.stack.commands import Project
from compose.stack.errors import Refused
from compose.stack.preflight.documents import Document, read
from compose.stack.redact import Redactor, is_secret_name, secret_values
from compose.stack.request import StackRef
from compose.stack.sealing import Flat
from compose.stack.service import Stack, parse_stack

OWN = Path(compose.__file__).parent
OWN_FILES = {
    "light": "docker-compose.tinyllama.yml",
    "stores": "docker-compose.stores.yml",
    "full": "docker-compose.yml",
}
OFFLINE = "docker-compose.offline.yml"
OWN_OFFLINE = {"stores": "docker-compose.stores.offline.yml"}
OWN_PROJECTS = {"stores": "OPS_STORES_PROJECT"}
"""The setting with a stack's project name; OPS_PROJECT where none is named."""
BIGGEST_SECRET = 65536
LONG_LINE = 8


@dataclass(frozen=True)
class ResolvedStack:
    """A stack, found.

    Args:
        name: Its name among the kept stacks, or its project's name.
        project: Its compose project.
        state: Directory of its releases, journal and history.
        recipes: Compose overlay with recipes for images that no registry gives, if it has one.
        environment: Variables for interpolation besides the process's own.
    """

    name: str
    project: Project
    state: Path
    recipes: Path | None
    environment: Mapping[str, str]

    @property
    def overlay(self) -> Path:
        """The generated overlay with the recipes that are in use."""
        return self.state / "offline.yml"


def own_stacks() -> dict[str, Path]:
    """The stacks that this product ships."""
    return {name: OWN / file for name, file in OWN_FILES.items() if (OWN / file).exists()}


def own_project(name: str, settings: Mapping[str, str]) -> str:
    """The project name that the settings give to one of our own stacks."""
    return settings[OWN_PROJECTS.get(name, "OPS_PROJECT")]


def own_recipes(name: str) -> Path:
    """The compose file with the recipes for images that no registry gives to one of our own stacks."""
    return OWN / OWN_OFFLINE.get(name, OFFLINE)


def kept_stacks(home: Home) -> tuple[str, ...]:
    """Names of all stacks that a person can choose: ours and those that were added."""
    added = [path.parent.name for path in home.stacks.glob("*/stack.json")]
    return tuple(dict.fromkeys([*own_stacks(), *sorted(added)]))


def keep_stack(home: Home, name: str, project: Project) -> None:
    """Remember a compose project by name.

    Raises:
        Refused: Another project was deployed under this name.
    """
    deployed = ReleaseStore(home.stack(name) / "releases").last()
    if project.name and deployed is not None and deployed.project != project.name:
        raise Refused(
            f"releases of another project, {deployed.project}, are kept under this name",
            where=name,
            next="choose another name",
        )
    record = {
        "files": [str(Path(path).absolute()) for path in project.files],
        "env_files": [str(Path(path).absolute()) for path in project.env_files],
        "project_name": project.name,
        "profiles": list(project.profiles),
        "directory": project.directory,
    }
    before = home.stack(project.name)
    if project.name and before.is_dir() and not home.stack(name).exists() and not (before / "stack.json").exists():
        before.rename(home.stack(name))  # what was deployed from files so far goes on under the name
    write_private(home.stack(name) / "stack.json", json.dumps(record, indent=1) + "\n")


def resolve(home: Home, ref: StackRef) -> ResolvedStack:
    """Find the compose project that a request means.

    Raises:
        Refused: No such stack or file.
    """
    if ref.files:
        return _from_files(home, ref)
    own = own_stacks()
    if ref.stack in own:
        return _own(home, ref, own[ref.stack])
    record = home.stack(ref.stack) / "stack.json"
    if not record.is_file():
        known = ", ".join(kept_stacks(home))
        raise Refused(
            f"no stack of this name (known: {known})", where=ref.stack, next="./ops stack add NAME --file F"
        )
    kept = json.loads(record.read_text())
    project = Project(
        tuple(kept["files"]),
        ref.project_name or kept["project_name"],
        tuple(ref.env_files or kept["env_files"]),
        tuple(ref.profiles or kept["profiles"]),
        kept.get("directory", ""),
    )
    _require(project)
    return _resolved(home, ref.stack, project, None, {})


def _own(home: Home, ref: StackRef, file: Path) -> ResolvedStack:
    settings = home.settings()
    name = ref.project_name or own_project(ref.stack, settings)
    env = tuple(ref.env_files) or ((str(home.env_file),) if home.env_file.exists() else ())
    project = Project((str(file),), name, env, tuple(ref.profiles))
    recipes = own_recipes(ref.stack)
    return _resolved(home, ref.stack, project, recipes if recipes.exists() else None, settings)


def _from_files(home: Home, ref: StackRef) -> ResolvedStack:
    files = tuple(str(Path(path).absolute()) for path in ref.files)
    env_files = tuple(str(Path(path).absolute()) for path in ref.env_files)
    project = Project(files, ref.project_name, env_files, tuple(ref.profiles))
    _require(project)
    found = _resolved(home, "", project, None, {})
    return _named(home, found, project.name) if project.name else found


def _resolved(
    home: Home, name: str, project: Project, recipes: Path | None, environment: Mapping[str, str]
) -> ResolvedStack:
    state = home.stack(name or project.name or "unnamed")
    found = ResolvedStack(name or project.name, project, state, recipes, environment)
    if recipes and found.overlay.exists():
        found = ResolvedStack(found.name, project.with_overlay(str(found.overlay)), state, recipes, environment)
    return found


def _require(project: Project) -> None:
    missing = [path for path in (*project.files, *project.env_files) if not os.access(path, os.R_OK)]
    if missing:
        what = "no such file" if not Path(missing[0]).exists() else "it cannot be read"
        raise Refused(f"{what}: {', '.join(missing)}", next="check the path")


def load_stack(home: Home, found: ResolvedStack, cli: ComposeCli) -> tuple[ResolvedStack, Stack]:
    """Read a stack as Compose renders it; an unnamed project gets the name that Compose gives it."""
    stack = parse_stack(cli.render(found.project))
    if found.name:
        return found, stack
    return _named(home, found, stack.project), stack


def _named(home: Home, found: ResolvedStack, project: str) -> ResolvedStack:
    """The same stack under the name that keeps its project, so that one project has one chain of releases."""
    kept = _keeper(home, project)
    if not kept and project in kept_stacks(home):
        owner = _project_of(home, project)
        if owner and owner != project:
            raise Refused(
                f"{project} is the name of a kept stack of another project, {owner}",
                where=", ".join(found.project.files),
                next="keep this one by another name: ./ops stack add NAME --file F",
            )
    return replace(found, name=kept or project, state=home.stack(kept or project))


def _project_of(home: Home, name: str) -> str:
    """The compose project of a kept stack."""
    if name in own_stacks():
        return own_project(name, home.settings())
    record = json.loads((home.stack(name) / "stack.json").read_text(encoding="utf-8"))
    return str(record.get("project_name") or "")


def named(home: Home, project: str) -> str:
    """The name that keeps a compose project, found without reading its files."""
    try:
        return _keeper(home, project) or project
    except Refused:  # our own settings cannot be read
        return project


def project_of(files: Sequence[str]) -> str:
    """The name that Compose gives to a project, as far as files that it refuses tell; empty without any."""
    said = [str(name) for path in files for document in _documents(path) if (name := document.tree.get("name"))]
    directory = Path(files[0]).absolute().parent.name if files else ""
    return said[-1] if said else re.sub(r"[^a-z0-9_-]", "", directory.lower()).lstrip("_-")


def _documents(path: str) -> tuple[Document, ...]:
    try:
        return read(path, Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ()


def _keeper(home: Home, project: str) -> str:
    """The kept stack of a compose project; empty when none is."""
    settings = home.settings()
    for name in ("light", *OWN_PROJECTS):
        if project == own_project(name, settings):
            return name
    for record in sorted(home.stacks.glob("*/stack.json")):
        if json.loads(record.read_text(encoding="utf-8")).get("project_name") == project:
            return record.parent.name
    return ""


def flat_of(found: ResolvedStack, stack: Stack, cli: ComposeCli) -> Flat:
    """The project as one file, with a variable for each secret that comes by one.

    Args:
        stack: The project as it is rendered.
    """
    known = known_variables(found.project, cli)
    included = _included(found.project, known)
    alone = {name: next(iter(values)) for name, values in included.items() if len(values) == 1}
    loose = {
        value for name, values in included.items() if len(values) > 1 and is_secret_name(name) for value in values
    }
    return cli.flat(found.project, stack.raw, {**alone, **known}, loose)


def known_variables(project: Project, cli: ComposeCli) -> dict[str, str]:
    """Every variable that has a value: what Compose makes of the env files, under the environment."""
    default = Path(project.directory or Path(project.files[0]).parent) / ".env"
    given = {**os.environ, **(cli.environment or {})}
    named = tuple(filter(None, given.get("COMPOSE_ENV_FILES", "").split(",")))
    files = project.env_files or named or ((str(default),) if default.is_file() else ())
    names = {
        name for path in files for name in dotenv.names(Path(path).read_text(encoding="utf-8", errors="replace"))
    }
    return {**cli.values(project, sorted(names - set(given))), **given}


def _included(project: Project, known: Mapping[str, str]) -> dict[str, set[str]]:
    """Values of variables that only directories of included files give; two may give different ones."""
    files = (*project.files, *project.overlays)
    if not any("include" in Path(path).read_text(encoding="utf-8", errors="replace") for path in files):
        return {}
    found: dict[str, set[str]] = {}
    for source in read_sources(project, known).documents:
        for name, value in source.environment.items():
            if name not in known:
                found.setdefault(name, set()).add(value)
    return found


def redactor_for(home: Home, stack: Stack, values: Mapping[str, str]) -> Redactor:
    """What hides every secret that a stack has: in variables, in its files, in its secret files.

    Args:
        values: Variables with the values they have now.
    """
    known = [*secret_values(stack, {**home.stored(), **values})]
    for body in stack.section("secrets").values():
        path = Path(str(body.get("file") or ""))
        if body.get("environment"):
            known.append(os.environ.get(str(body["environment"]), "") or values.get(str(body["environment"]), ""))
        elif path.is_file() and path.stat().st_size <= BIGGEST_SECRET and os.access(path, os.R_OK):
            text = path.read_text(encoding="utf-8", errors="replace")
            known += [text, *(line for line in text.splitlines() if len(line) >= LONG_LINE)]
    return Redactor().also(known)
