"""A project as one file: what Compose renders, with a variable wherever a secret stands.

Two kinds of variables stand for secrets. Those that the author's files use keep their names; for a secret that
is written into a compose file or an env file there is one named by its place and its keyed hash.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from compose.stack.redact import Redactor, is_secret_name, url_password
from compose.stack.variables import names_used
from compose.stack.yaml_text import load

PREFIX = "OPS_LITERAL_"
ABSENT = "ops-absent"
"""The profile of a service that is only named as an optional dependency."""
DOCKERS_OWN = re.compile(r"^(COMPOSE_|DOCKER_|BUILDX_|BUILDKIT_|SSH_AUTH_SOCK$)|^" + PREFIX)
SPLIT = ("command", "entrypoint", "test")
"""Keys whose text Compose splits into words: a secret with a space in it becomes two."""
NAMES = ("image", "name", "container_name", "source", "file", "context")
"""Keys that say what is deployed, and where: a release has to know, whatever a variable is called."""
IN_CLEAR = ("image", "networks", "depends_on", "volumes", "ports", "profiles")
"""Keys of a service that hold names, never secrets that somebody wrote."""
VARIABLE = re.compile(r"(\$\$|\$\{[A-Za-z_][A-Za-z0-9_]*\})")
Way = tuple[str | int, ...]


@dataclass(frozen=True)
class Flat:
    """A project as one file.

    Args:
        text: The file; no value of a secret variable is in it.
        known: Every variable that has a value, with the value.
        loose: Values of secret variables that no variable in the file could stand for.
    """

    text: str
    known: Mapping[str, str] = field(default_factory=dict, repr=False)
    loose: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def variables(self) -> dict[str, str]:
        """The variables that stand in the file: all of them secrets."""
        return {name: self.known[name] for name in names_used(self.text) if name in self.known}


def candidates(known: Mapping[str, str]) -> tuple[str, ...]:
    """The variables whose values must not be written down."""
    return tuple(name for name, value in known.items() if value and is_secret_name(name) and not _dockers(name))


def _dockers(name: str) -> bool:
    return bool(DOCKERS_OWN.match(name))


def token(name: str) -> str:
    """The text that stands for a variable while Compose renders: nothing else has it, every place takes it."""
    return f"opsseal{hashlib.sha256(name.encode()).hexdigest()[:20]}z"


def fits(rendered: Any, sealed: Any, values: Mapping[str, str], key: str = "") -> bool:
    """True when a render with tokens is the render itself as soon as the values are put back.

    It is not where a value decides of the form (a port, a number, a path that may be a volume's name) or names
    something.

    Args:
        values: Of each token.
    """
    if key in SPLIT and not isinstance(sealed, Mapping):
        return True
    if isinstance(sealed, Mapping):
        return (
            isinstance(rendered, Mapping)
            and sealed.keys() == rendered.keys()
            and all(fits(rendered[name], item, values, str(name)) for name, item in sealed.items())
        )
    if isinstance(sealed, list):
        return (
            isinstance(rendered, list)
            and len(sealed) == len(rendered)
            and all(fits(one, other, values) for one, other in zip(rendered, sealed, strict=True))
        )
    if isinstance(sealed, str):
        if key in NAMES and any(word in sealed for word in values):
            return False
        for word, value in values.items():
            sealed = sealed.replace(word, value)
    return bool(rendered == sealed)


def with_variables(text: str, names: Iterable[str]) -> str:
    """The rendered text with `${NAME}` in the place of each token."""
    for name in names:
        text = text.replace(token(name), f"${{{name}}}")
    return text


def take_out(flat: str, redactor: Redactor, keyed_hash: Callable[[str], str]) -> str:
    """The file that may be kept: a variable wherever a secret is written out.

    A service that the active profiles leave out, and that another one may depend on, is there by name alone:
    Compose refuses the file without it, and another `depends_on` would be another configuration. A file with
    neither comes back as it is.

    Args:
        flat: The project as one file.
        redactor: Knows the secrets.
    """
    body = load(flat) or {}
    changed = False

    def replaced(value: Any, way: Way, secrets: re.Pattern[str]) -> Any:
        nonlocal changed
        if isinstance(value, Mapping):
            return {name: replaced(item, (*way, name), secrets) for name, item in value.items()}
        if isinstance(value, list):
            return [replaced(item, (*way, index), secrets) for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        made = "".join(
            part if stands else _without(part, secrets, way, keyed_hash) for part, stands in _parts(value)
        )
        changed = changed or made != value
        return made

    services = dict(body.get("services") or {})
    if redactor.values:
        secrets = _any_of(redactor.values)
        for name, service in services.items():
            services[name] = {
                key: value if key in IN_CLEAR else replaced(value, ("services", name, key), secrets)
                for key, value in service.items()
            }
        for section, key in (("configs", "content"), ("volumes", "driver_opts")):
            for name, entry in (body.get(section) or {}).items():
                if value := (entry or {}).get(key):
                    known = _any_of(redactor.values - _itself(value))
                    entry[key] = replaced(value, (section, name, key), known)
    absent = {name: {"image": ABSENT, "profiles": [ABSENT]} for name in _left_out(services)}
    if not changed and not absent:
        return flat
    return _text({**body, "services": services | absent})


def merged(now: str, then: str, scope: Collection[str]) -> str:
    """The file of a deployment of some services: the others are as the file before has them, or not there.

    Args:
        now: The project's file today.
        then: That of the release before; empty when there is none.
        scope: The services that were deployed.
    """
    new, old = (load(text) or {} for text in (now, then))
    deployed = {name: body for name, body in _section(new, "services").items() if name in scope}
    named = {
        name: body for name, body in _section(new, "services").items() if ABSENT in (body.get("profiles") or ())
    }
    others = {name: body for name, body in _section(old, "services").items() if name not in scope}
    whole = {**old, **new, "services": {**named, **others, **deployed}}
    for section in ("networks", "volumes", "configs", "secrets"):
        wanted = {name for body in deployed.values() for name in _referred(body.get(section))}
        before = {name: body for name, body in _section(old, section).items() if name not in wanted}
        if entries := {**_section(new, section), **before}:
            whole[section] = entries
    return _text(whole)


def _any_of(secrets: Iterable[str]) -> re.Pattern[str]:
    return re.compile("(" + ("|".join(map(re.escape, sorted(secrets, key=len, reverse=True))) or "(?!)") + ")")


def _itself(content: object) -> frozenset[str]:
    """A config of several lines is a file: the secrets in it are hidden, not the whole of it."""
    text = str(content).strip()
    return frozenset({text, text.replace("$$", "$")}) if "\n" in text else frozenset()


def _section(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    return dict(body.get(name) or {})


def _referred(entries: Any) -> set[str]:
    """The names that a service's networks, volumes, configs or secrets refer to, as Compose renders them."""
    if isinstance(entries, Mapping):
        return set(entries)
    return {str(entry.get("source") if isinstance(entry, Mapping) else entry) for entry in entries or ()}


def _parts(value: str) -> Iterator[tuple[str, bool]]:
    """The written text between variables, dollars as they are meant, and the variables as they stand (True)."""
    written = ""
    for piece in VARIABLE.split(value):
        if piece.startswith("${"):
            yield written, False
            yield piece, True
            written = ""
        else:
            written += "$" if piece == "$$" else piece
    yield written, False


def _without(part: str, secrets: re.Pattern[str], way: Way, keyed_hash: Callable[[str], str]) -> str:
    pieces = secrets.split(part)
    return "".join(
        f"${{{name_of(piece, way, keyed_hash)}}}" if index % 2 else piece.replace("$", "$$")
        for index, piece in enumerate(pieces)
    )


def _left_out(services: Mapping[str, Any]) -> list[str]:
    named = {
        name
        for service in services.values()
        if isinstance(service.get("depends_on"), Mapping)
        for name in service["depends_on"]
    }
    return sorted(named - set(services))


class _Quoted(yaml.SafeDumper):
    """Writes every text in quotes: Compose's YAML takes `1e3` for a number, this one's does not."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


_Quoted.add_representer(str, _quoted)


def _text(body: Mapping[str, Any]) -> str:
    return str(yaml.dump(dict(body), Dumper=_Quoted, sort_keys=False, allow_unicode=True, width=1 << 20))


def name_of(secret: str, way: Way, keyed_hash: Callable[[str], str]) -> str:
    """The variable that stands for a secret in its place."""
    place = ".".join(map(str, way))
    return f"{PREFIX}{keyed_hash(f'{place}={secret}')[:16].upper()}"


def literals(known: Mapping[str, str]) -> dict[str, str]:
    """The written secrets that a rollback gave variables to."""
    return {name: value for name, value in known.items() if name.startswith(PREFIX)}


@dataclass(frozen=True)
class PutBack:
    """What the written secrets of a release are today.

    Args:
        values: Of each variable.
        differing: Places where today's is another one.
        gone: Places for which today's files have none.
    """

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    differing: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


def put_back(
    flat: str, today: Mapping[str, Any], known: Iterable[str], keyed_hash: Callable[[str], str]
) -> PutBack:
    """Find the secrets that were written into a release's files: today's in the same place, else the same one.

    Args:
        flat: The file of a release.
        today: Today's files as they are rendered.
        known: The secrets of today's files.
    """
    secrets = tuple(known)
    values: dict[str, str] = {}
    differing: list[str] = []
    gone: list[str] = []
    for way, text in _leaves(load(flat) or {}):
        for name in (name for name in names_used(text) if name.startswith(PREFIX) and name not in values):
            place = ".".join(map(str, way))
            same = next((secret for secret in secrets if name_of(secret, way, keyed_hash) == name), None)
            value = _in_place(text, name, way, today) or same
            if value is None:
                gone.append(place)
                continue
            values[name] = value
            if name_of(value, way, keyed_hash) != name:
                differing.append(place)
    return PutBack(values, tuple(differing), tuple(gone))


def _in_place(text: str, name: str, way: Way, today: Any) -> str | None:
    if way[0] != "services":
        return None
    for step in way:
        if isinstance(step, int) or not isinstance(today, Mapping):
            return None  # the third word of a command may be anything today
        today = today.get(step)
    if not isinstance(today, str):
        return None
    variable = f"${{{name}}}"
    if text == variable:
        return today or None
    return url_password(today) if url_password(text) == variable else None


def _leaves(value: Any, way: Way = ()) -> Iterator[tuple[Way, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*way, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*way, index))
    elif isinstance(value, str) and PREFIX in value:
        yield way, value


def passed_through(flat: str) -> frozenset[str]:
    """The variables that containers would take from the process's environment: they had none when it was kept."""
    services = (load(flat) or {}).get("services") or {}
    return frozenset(
        str(name)
        for service in services.values()
        for name, value in (service.get("environment") or {}).items()
        if value is None
    )


def profiles_of(flat: str) -> tuple[str, ...]:
    """The profiles that activate every service of the file."""
    services = (load(flat) or {}).get("services") or {}
    return tuple(
        sorted({name for service in services.values() for name in service.get("profiles") or ()} - {ABSENT})
    )
