"""The documentation: what it links to, names and lists is there."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from pydantic import BaseModel

from compose.stack import round_trips, settings
from compose.stack.errors import Exit
from compose.stack.hints import Hints, OpsHints, StackHints
from compose.stack.prefect_yaml import parse_prefect_yaml
from compose.stack.preflight.codes import CODES
from compose.stack.roles import Role
from compose.stack.round_trips import trip_of
from compose.stack.service import parse_stack
from compose.stack.verdicts import Level
from deployments import cli, up

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLE = DOCS / "x-ops.example.yml"
GUIDE = (DOCS / "guide.md").read_text(encoding="utf-8")
YOURS = (DOCS / "your-project.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)", re.DOTALL)
named = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def commands() -> dict[str, typer.core.TyperCommand]:
    """Every command of the command line by its words, `stack add` among them."""
    top = typer.main.get_command(cli.app)
    found = {}
    for name, command in top.commands.items():
        nested = getattr(command, "commands", None)
        found |= {f"{name} {inner}": what for inner, what in nested.items()} if nested else {name: command}
    return found


COMMANDS = commands()


def table(text: str, *, after: str) -> list[list[str]]:
    """The cells of the first table that follows a mark, without its head; code ticks taken away."""
    lines = iter(text.split(after, 1)[1].splitlines())
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            break
    return rows[2:]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as hosts of Markdown make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@named
def test_links_lead_somewhere(page):
    """Every relative link and image exists, and so does the heading that it names."""
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@named
def test_commands_exist(page):
    """Every `./ops …` that a page names is a command with such options."""
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"^    (?:[A-Z_]+=\S+ )*(\./ops .*)$", text, re.MULTILINE)
    lines += re.findall(r"`(?:[A-Z_]+=\S+ )*(\./ops [^`]*)`", text.replace("\n", " "))
    wrong = [line for line in lines if not understood(line)]
    assert not wrong


def understood(line: str) -> bool:
    """True when the words are a command and every option is one of its own."""
    words = [word for word in shlex.split(line, comments=True)[1:] if word != "…"]
    name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in COMMANDS), None)
    if name is None:
        return words in (["stack"], ["--help"])
    if name == "test":
        return True
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts} | {"--help", "-h"}
    return all(word.split("=")[0] in known for word in words if word.startswith("-"))


def test_every_command_is_in_the_guide():
    """Nobody has to guess: each command occurs in the user guide."""
    assert [name for name in COMMANDS if f"./ops {name}" not in GUIDE] == []


def test_exit_codes_are_those_of_the_code():
    """The table of exit codes equals Exit."""
    rows = {int(code): name for code, name, _ in table(GUIDE, after="<!-- exit codes -->")}
    assert rows == {code.value: code.name.lower().replace("_", " ") for code in Exit}


def test_settings_are_those_of_the_code():
    """The table of settings equals the defaults, in their order; every secret is named."""
    rows = [(name, default) for name, default, _ in table(GUIDE, after="<!-- settings -->")]
    assert rows == list(settings.DEFAULTS.items())
    assert [row[0] for row in table(GUIDE, after="## Secrets")] == list(settings.SECRETS)


def test_tuning_is_that_of_the_compose_file():
    """Every variable of the light stack is in a table with its default; limits are named by their pattern."""
    text = (ROOT / "compose" / "docker-compose.tinyllama.yml").read_text(encoding="utf-8")
    text += (ROOT / "compose" / "docker-compose.offline.yml").read_text(encoding="utf-8")
    used = dict(reversed(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text)))
    listed = {name: default for name, default, _ in table(GUIDE, after="<!-- tuning -->")}
    limits = {name for name in used if re.search(r"_(CPUS|MEMORY)(_RESERVED)?$", name)}
    rest = {name: default for name, default in used.items() if name not in limits}
    inside = {"OPS_BASE_IMAGE"}  # names the base of the recipes, for whoever builds by hand
    assert listed == {n: d for n, d in rest.items() if n not in settings.DEFAULTS and n not in inside}
    services = {re.sub(r"_(CPUS|MEMORY)(_RESERVED)?$", "", name) for name in limits}
    assert all(f"`{name}`" in GUIDE for name in services)


def test_variables_of_the_stores_are_those_of_their_files():
    """Every variable that only the stores use is in their table with its default; limits by their pattern."""
    text = "".join(
        (ROOT / "compose" / f"docker-compose.stores{kind}.yml").read_text(encoding="utf-8")
        for kind in ("", ".offline")
    )
    light = {name for name, *_ in table(GUIDE, after="<!-- tuning -->")} | set(settings.DEFAULTS)
    used = dict(re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", text))
    limits = {name for name in used if re.search(r"_(CPUS|MEMORY)(_RESERVED)?$", name)}
    mine = {n: d for n, d in used.items() if n not in light | limits | {"OPS_BASE_IMAGE"}}
    assert {name: default for name, default, _ in table(GUIDE, after="<!-- stores -->")} == mine
    services = {re.sub(r"_(CPUS|MEMORY)(_RESERVED)?$", "", name) for name in limits}
    assert all(f"`{name}`" in GUIDE for name in services)


def test_steps_of_up_are_those_of_the_code():
    """The guide names each step that --until and --skip take."""
    assert all(f"`{step}`" in GUIDE for step in up.STEPS)


def test_deployments_are_those_of_prefect_yaml():
    """The table of the UI's deployments equals prefect.yaml."""
    wanted = parse_prefect_yaml((ROOT / "prefect.yaml").read_text(encoding="utf-8")).deployments
    names = {f"{deployment.function.replace('_', '-')}/{deployment.name}" for deployment in wanted}
    assert {row[0] for row in table(GUIDE, after="## The Prefect UI")} == names


def test_levels_are_those_of_the_code():
    """Both tables of levels equal Level."""
    for text, mark in ((GUIDE, "## Verify"), (YOURS, "## How a service is proven to work")):
        assert [row[0] for row in table(text, after=mark)] == [level.value for level in Level]


def test_working_checks_are_those_of_the_code():
    """Every kind of x-ops.verify is listed with its own parameters."""
    common = set(round_trips.RoundTrip.model_fields)
    rows = {
        kind.strip(): {word.strip() for word in own.split(",") if word.strip()}
        for kinds, _, own in table(YOURS, after="`x-ops.verify`:")
        for kind in kinds.split(",")
    }
    wanted = {}
    for trip in round_trips.RoundTrip.__subclasses__():
        for kind in trip.model_fields["kind"].annotation.__args__:
            wanted[kind] = set(trip.model_fields) - common - {"kind"}
    assert rows == wanted
    assert all(f"`{name}`" in YOURS for name in common)


def test_accepted_codes_exist():
    """Every preflight code that a page tells to accept is one."""
    told = {
        code.partition(":")[0]
        for page in PAGES
        for code in re.findall(r"--accept ([a-z][a-z:-]+)", page.read_text(encoding="utf-8"))
    }
    assert told
    assert told <= set(CODES)


def test_the_example_is_read():
    """The x-ops example parses, and its working checks are understood."""
    stack = parse_stack(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")))
    for name in stack.services:
        trip_of(stack, name)
    assert stack.services


def test_the_example_uses_every_key():
    """No key of x-ops is left out, neither a service's nor the project's; every role is named."""
    text = EXAMPLE.read_text(encoding="utf-8")
    stack = parse_stack(yaml.safe_load(text))
    seen = used(stack.hints)
    for service in stack.services.values():
        seen |= used(service.hints)
    every = {(kind.__name__, key) for kind in kinds(Hints) if kind is not StackHints for key in kind.model_fields}
    every |= {("StackHints", key) for key in StackHints.model_fields}
    assert every - seen == set()
    words = [role.value for role in Role] + [w for key in ("tier", "oneshot") for w in choices(key)]
    assert [word for word in words if not re.search(rf"\b{word}\b", text)] == []


def choices(key: str) -> list[str]:
    """The words that a service's hint may be."""
    literal = OpsHints.model_fields[key].annotation.__args__[0]
    return list(literal.__args__)


def kinds(base: type[BaseModel]) -> set[type[BaseModel]]:
    """Every model below a base."""
    below = base.__subclasses__()
    return set(below).union(*(kinds(kind) for kind in below))


def used(value: object) -> set[tuple[str, str]]:
    """Each model with each of its keys that was written, however deep."""
    if isinstance(value, Hints):
        found = {(type(value).__name__, key) for key in value.model_fields_set}
        return found.union(*(used(getattr(value, key)) for key in value.model_fields_set))
    if isinstance(value, dict):
        return set().union(*(used(item) for item in value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*(used(item) for item in value))
    return set()


def test_every_decision_and_runbook_is_listed():
    """Both indexes link every page beside them."""
    for place in ("decisions", "runbooks"):
        index = (DOCS / place / "README.md").read_text(encoding="utf-8")
        pages = [page.name for page in (DOCS / place).glob("*.md") if page.name != "README.md"]
        assert [name for name in pages if f"({name})" not in index] == []


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("0*.md")), ids=lambda page: page.stem)
def test_a_decision_has_its_four_parts(page):
    """Context, decision, reasons, consequences."""
    text = page.read_text(encoding="utf-8")
    parts = ["Context", "Decision", "Reasons", "Consequences"]
    assert [word for word in re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) if word in parts] == parts


@pytest.mark.parametrize(
    "page",
    [page for page in sorted((DOCS / "runbooks").glob("*.md")) if page.name != "README.md"],
    ids=lambda page: page.stem,
)
def test_a_runbook_tells_what_to_type_and_what_will_be_seen(page):
    """The symptom or occasion first, then commands, then what you will see."""
    text = page.read_text(encoding="utf-8")
    places = [text.find(mark) for mark in ("\n**", "\n    ", "## What you will see")]
    assert -1 not in places
    assert places == sorted(places)
