"""Which programs a health check needs, read from its words without running anything."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_BUILTINS = """
. : [ alias break case cd command continue do done echo elif else esac eval exec exit export false fi for
function getopts hash if in kill local printf pwd read return set shift test then time times trap true type
ulimit umask unalias unset until wait while { } ! [[ ]] ((
"""
BUILTINS = frozenset(_BUILTINS.split())
NOTHING = frozenset({":", "true", "/bin/true", "/usr/bin/true", "echo", "/bin/echo", "printf", "sleep"})
_EXIT_ZERO = re.compile(
    r"^(?:process\.exit\(0?\)|(?:import sys;? ?)?(?:sys\.)?exit\((?:0|None)?\)|quit\(\)|pass|0|1|true|"
    r"exit(?: 0)?|print\([^()]*\)|console\.log\([^()]*\))?;?$"
)
_REDIRECTED = re.compile(r"\d*>&\s*[\d-]|&>>?\s*[^\s;|&]+")
_INTERPRETERS = re.compile(r"^(?:.*/)?(?:node|python[0-9.]*|perl|ruby|php|sh|bash|ash|dash)$")


def always_passes(test: Sequence[str]) -> str:
    """Why a health check passes whatever the service does; empty when it asks something."""
    words = list(test[1:])
    if not words or test[0] not in {"CMD", "CMD-SHELL"}:
        return ""
    if test[0] == "CMD-SHELL":
        return _line_passes(words[0])
    if len(words) >= 3 and _INTERPRETERS.match(words[0]) and words[1] in {"-c", "-e", "-lc", "-ec"}:
        is_shell = re.search(r"(?:^|/)(?:sh|bash|ash|dash)$", words[0])
        return _line_passes(words[2]) if is_shell else _script_passes(words[2])
    return f"`{words[0]}` always succeeds" if words[0] in NOTHING else ""


def _line_passes(line: str) -> str:
    parts = _split(line)
    if parts is None:
        return ""
    last = parts[-1]
    if last.operator in {"||", ";", "\n"} and _succeeds(last.words):
        return f"it ends with `{last.operator} {last.words[0]}`"
    if all(_succeeds(part.words) for part in parts):
        return f"`{parts[0].words[0]}` always succeeds"
    return ""


def _succeeds(words: Sequence[str]) -> bool:
    if not words:
        return True
    if len(words) >= 3 and _INTERPRETERS.match(words[0]) and words[1] in {"-c", "-e"}:
        return bool(_script_passes(words[2]))
    return words[0] in NOTHING or (words[0] == "exit" and words[1:] in (["0"],))


def _script_passes(script: str) -> str:
    return "its script always succeeds" if _EXIT_ZERO.match(script.strip()) else ""


class Simple:
    """One simple command and the operator in front of it."""

    def __init__(self, operator: str, words: list[str]) -> None:
        self.operator, self.words = operator, words


def _split(line: str) -> list[Simple] | None:
    """The simple commands of a line; None for what needs a real shell to understand."""
    if re.search(r"[`()]|<<|\$\{|\bif\b|\bfor\b|\bwhile\b|\bcase\b", re.sub(r"'[^']*'|\"[^\"$`]*\"", "''", line)):
        return None
    lexer = shlex.shlex(_REDIRECTED.sub(" ", line), posix=True, punctuation_chars="|&;\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    commands = [Simple("", [])]
    try:
        for token in lexer:
            if token and set(token) <= set("|&;\n"):
                commands.append(Simple(token, []))
            else:
                commands[-1].words.append(token)
    except ValueError:
        return None
    kept = [item for item in (Simple(item.operator, _plain(item.words)) for item in commands) if item.words]
    return kept or None


def _plain(words: list[str]) -> list[str]:
    """Without assignments in front and redirections."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif re.fullmatch(r"\d*(?:>>?|<|>&|<>|>\|)", word):
            skip = True
        elif not re.match(r"\d*[<>]", word) and (kept or not re.match(r"[A-Za-z_]\w*=", word)):
            kept.append(word)
    return kept


def alternatives(test: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The programs that a health check calls, one tuple for each of its `||` alternatives.

    It can pass when all programs of one alternative are there. Empty when that cannot be told.
    """
    words = list(test[1:])
    if not words:
        return ()
    if test[0] == "CMD":
        return ((words[0],),)
    if test[0] != "CMD-SHELL":
        return ()
    parts = _split(words[0])
    if parts is None:
        return ()
    found: list[list[str]] = [[]]
    for part in parts:
        if part.operator == "||":
            found.append([])
        found[-1].append(part.words[0])
    programs = [tuple(_program(name) for name in names) for names in found if names != ["exit"]]
    if any("$" in name for names in programs for name in names):
        return ()
    return tuple(tuple(name for name in names if name) for names in programs)


def _program(name: str) -> str:
    return "" if name in BUILTINS else name
