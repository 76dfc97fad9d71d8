"""`./ops test`: every check, from nothing, stage by stage; the last line is the test run's own summary."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from blocks.home import Home
from blocks.machine import distribution, is_root, run
from compose.stack.engine_packages import APT_ENVIRONMENT, APT_UPDATE, apt_install
from compose.stack.request import DeployRequest
from deployments import console
from tasks.engine import ensure_engine

LINTERS = {
    "ruff": ("ruff", "check", "."),
    "types": ("mypy",),
    "layers": ("lint-imports", "--no-cache"),
}
ROOMS = ("tests/unit", "tests/contracts", "tests/integration", "tests/browser")
FAST = "not engine and not stack and not browser and not bare and not servers"
BROWSER = ("chromium", "chromium-driver")
FORMAT_TOOLS = {"age": "age", "zstd": "zstd", "openssl": "openssl", "jq": "jq"}
"""What opens a backup without us, program and package: the tests compare with them."""
FEW = 3
"""Files with failures that get a second try; a fixture that cannot be made fails every test of its file."""


def run_all(clone: Path, arguments: Sequence[str]) -> int:
    """Run every stage whatever fails before it; 0 only when all passed.

    Args:
        clone: The project.
        arguments: `--fast`, and what else pytest understands.
    """
    fast = "--fast" in arguments
    rest = [argument for argument in arguments if argument != "--fast"]
    narrowed = any(word in ("-k", "-m") or _is_test(clone, word) for word in rest)
    failed = [] if narrowed else [name for name, argv in LINTERS.items() if not _lint(clone, name, argv)]
    if not fast:
        console.step("engine", lambda: ensure_engine(_machine_home()))
        console.step("browser", _ensure_browser)
        console.step("tools", _ensure_format_tools)
    with tempfile.TemporaryDirectory(prefix="ops-test-") as place:
        if not fast and not narrowed:
            console.step("images", lambda: _ensure_images(Home(Path(place) / "images")))
        environment = {**_without_settings(os.environ), "OPS_HOME": f"{place}/home"}
        code = subprocess.run(
            pytest_command(clone, rest, fast=fast), cwd=clone, env=environment, check=False
        ).returncode
        again = worth_a_second_try(clone) if code == 1 and not narrowed else []
        if again:
            console.say(f"failed, tried a second time in full: {', '.join(again)}", style=console.BAD)
            code = subprocess.run(
                pytest_command(clone, again, fast=False), cwd=clone, env=environment, check=False
            ).returncode
    return code or int(bool(failed))


def pytest_command(clone: Path, rest: Sequence[str], *, fast: bool) -> tuple[str, ...]:
    """The one run of all tests: quick rooms first, each test bounded."""
    rooms = () if any(_is_test(clone, word) for word in rest) else ROOMS
    there = tuple(room for room in rooms if (clone / room).is_dir())
    chosen = ("-m", FAST) if fast else ()
    slow = ("--durations=20", "--durations-min=20")
    return (sys.executable, "-m", "pytest", "--timeout=1200", *slow, *chosen, *there, *rest)


def worth_a_second_try(clone: Path) -> list[str]:
    """The files of failed tests, when they are few and of the kind that a busy machine can fail.

    Tests of pure decisions never get a second try; what passed at the second is named in the output all the same.
    """
    try:
        failed = json.loads((clone / ".pytest_cache/v/cache/lastfailed").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    files = sorted({str(name).split("::")[0] for name in failed})
    real = all(file.startswith(("tests/integration", "tests/browser")) for file in files)
    return files if real and len(files) <= FEW else []


def _is_test(clone: Path, word: str) -> bool:
    return word.startswith("tests") and (clone / word.split("::")[0]).exists()


def _lint(clone: Path, name: str, argv: Sequence[str]) -> bool:
    begin = time.monotonic()
    program = Path(sys.executable).with_name(argv[0])
    done = subprocess.run((str(program), *argv[1:]), cwd=clone, capture_output=True, text=True, check=False)
    good = done.returncode == 0
    line = f"{name:<12} {'passed' if good else 'FAILED':<52} {time.monotonic() - begin:6.1f} s"
    console.say(line, style="" if good else console.BAD)
    if not good:
        console.say((done.stdout + done.stderr).strip()[-6000:])
    return good


def _machine_home() -> Home:
    """Where an engine that we have to start keeps its log: it outlives the tests' own directory."""
    home = Home.find({})
    home.make()
    return home


def _ensure_browser() -> str:
    """Debian's Chromium and its driver, for the browser tests."""
    if shutil.which("chromedriver") and shutil.which("chromium"):
        return "already there"
    if not is_root() or distribution().id != "debian":
        return f"missing: sudo apt-get install {' '.join(BROWSER)}"
    log = _machine_home().logs / "browser-install.log"
    for argv in (APT_UPDATE, apt_install((*BROWSER, "fonts-dejavu-core"))):
        run(argv, log=log, where="browser", environment=APT_ENVIRONMENT, limit=900)
    return "installed"


def _ensure_format_tools() -> str:
    """The standard tools that open a backup."""
    missing = tuple(package for program, package in FORMAT_TOOLS.items() if not shutil.which(program))
    if not missing:
        return "already there"
    if not is_root() or distribution().id not in ("debian", "ubuntu"):
        return f"missing: sudo apt-get install {' '.join(missing)}"
    log = _machine_home().logs / "tools-install.log"
    for argv in (APT_UPDATE, apt_install(missing)):
        run(argv, log=log, where="tools", environment=APT_ENVIRONMENT, limit=900)
    return f"installed {', '.join(missing)}"


def _ensure_images(home: Home) -> str:
    """Our stacks' images, built here: the tests of real stores need them and must not be passed over."""
    from blocks.engine import Engine
    from flows.deploy_stack import locked
    from tasks.images import get_images, missing_images
    from tasks.secrets import ensure_secrets
    from tasks.stacks import OWN, OWN_FILES

    home.make()
    built = there = 0
    for stack in ("light", "stores"):
        ensure_secrets(home, {}, OWN / OWN_FILES[stack], "t-images")
        wanted = DeployRequest(stack=stack, project_name="t-images", images="offline")
        with locked(home, wanted, Engine.connect(), "images for the tests") as work:
            before = missing_images(get_images(work, "offline", frozenset()))
            after = get_images(work, "offline", frozenset(work.stack.services) | set(before))
            built, there = built + len(before), there + len(after.stack.services)
    return f"{built} built" if built else f"{there} up to date"


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what belongs to a live installation."""
    return {name: value for name, value in environment.items() if not name.startswith(("OPS_", "PREFECT_"))}
