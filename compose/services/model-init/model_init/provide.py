"""The runbook: the wanted model, or what may stand in for it, proven."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from model_init.catalogue import Entry, bare_digest, find, full_name, matches
from model_init.ollama import Ollama
from model_init.settings import Settings
from model_init.verdicts import Outcome, Progress, judge

log = logging.getLogger("model-init")
ATTEMPTS = 3
PATIENCE = 120.0


class NotProvided(Exception):
    """The model is not there or not right; `code` is the exit code."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(what)
        self.code = code


class LibraryAway(Exception):
    """The library of the wanted model does not answer."""


@dataclass(frozen=True)
class Provided:
    """A model that is there and has answered."""

    entry: Entry
    stands_in: bool
    text: str
    tokens: int


def provide(server: Ollama, settings: Settings, entries: Sequence[Entry]) -> Provided:
    """Have the wanted model on the server, or the fallback when the library is away; raises NotProvided."""
    wanted = find(entries, settings.model)
    try:
        ensure(server, wanted, settings.library_within, insecure=False)
    except LibraryAway as error:
        if not settings.fallback:
            raise NotProvided(1, f"{wanted.name}: {error}; there is no FALLBACK_MODEL") from error
        return stand_in(server, settings, find(entries, settings.fallback), str(error))
    return proven(server, wanted, stands_in=False)


def stand_in(server: Ollama, settings: Settings, fallback: Entry, why: str) -> Provided:
    """Take the fallback and say so where nobody can miss it."""
    log.warning("=" * 72)
    log.warning("THE MODEL %s IS NOT HERE: its library cannot be reached.", full_name(settings.model))
    log.warning("Reason: %s", why)
    log.warning(
        "%s stands in for it%s.", fallback.name, ", a DEMONSTRATION model" if fallback.demonstration else ""
    )
    log.warning("Next: with a way to the library, run this service again.")
    log.warning("=" * 72)
    try:
        ensure(server, fallback, PATIENCE, insecure=True)
    except LibraryAway as error:
        raise NotProvided(1, f"the fallback {fallback.name} cannot be pulled either: {error}") from error
    return proven(server, fallback, stands_in=True)


def ensure(server: Ollama, entry: Entry, patience: float, *, insecure: bool) -> None:
    """Pull a model unless it is there and right; raises LibraryAway, NotProvided."""
    there = server.digests().get(entry.name)
    if there and matches(entry, there):
        log.info("%s is there (%s)", entry.name, there[:12])
        return
    if there:
        log.warning("%s is there with digest %s, not the catalogue's; pulling", entry.name, there[:12])
    pull(server, entry.name, patience, insecure=insecure)
    found = server.digests().get(entry.name)
    if found is None:
        raise NotProvided(1, f"the pull of {entry.name} said success, but the server does not list it")
    if not matches(entry, found):
        raise NotProvided(
            3, f"{entry.name} has digest {bare_digest(found)}, the catalogue says {entry.digest}: not accepted"
        )


def pull(server: Ollama, name: str, patience: float, *, insecure: bool) -> None:
    """Pull a model; what broke on the way is tried again, since the server keeps the good parts."""
    error = ""
    for attempt in range(1, ATTEMPTS + 1):
        log.info("pulling %s%s", name, f" (attempt {attempt})" if attempt > 1 else "")
        outcome, error = judge(transferred(server, name, patience, insecure=insecure))
        if outcome is Outcome.DONE:
            return
        if outcome is Outcome.UNREACHABLE:
            raise LibraryAway(error)
        if outcome is Outcome.FAILED:
            break
        log.warning("%s: %s", name, error)
        patience = max(patience, PATIENCE)
    raise NotProvided(1, f"pulling {name}: {error}")


def transferred(server: Ollama, name: str, patience: float, *, insecure: bool) -> dict[str, object]:
    """Follow a pull with few lines of progress; return its last line."""
    progress = Progress()
    last: dict[str, object] = {}
    for last in server.pull(name, insecure=insecure, patience=patience):
        line = progress.line(last)
        if line:
            log.info("  %s", line)
    return last


def proven(server: Ollama, entry: Entry, *, stands_in: bool) -> Provided:
    """Have the model say something; raises NotProvided when it says nothing."""
    text, tokens = server.generate(entry.name)
    if tokens < 1 or not text.strip():
        raise NotProvided(4, f"{entry.name} is there but generated nothing ({tokens} tokens)")
    return Provided(entry, stands_in, text, tokens)
