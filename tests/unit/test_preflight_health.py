"""Health checks that prove nothing, and what they call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.preflight.health_checks import check_health, check_oneshots
from compose.stack.preflight.shell_words import alternatives, always_passes
from tests.preflighting import stack


@pytest.mark.parametrize(
    "test",
    [
        ("CMD", "echo", "ok"),
        ("CMD", "/bin/true"),
        ("CMD", "node", "-e", "process.exit(0)"),
        ("CMD", "python3", "-c", "import sys; sys.exit(0)"),
        ("CMD", "python", "-c", "print('ok')"),
        ("CMD", "sh", "-c", "exit 0"),
        ("CMD-SHELL", "exit 0"),
        ("CMD-SHELL", "true"),
        ("CMD-SHELL", ":"),
        ("CMD-SHELL", "echo healthy && exit 0"),
        ("CMD-SHELL", "curl -f http://localhost/ || true"),
        ("CMD-SHELL", "curl -f http://localhost/ || exit 0"),
        ("CMD-SHELL", "curl -f http://localhost/; exit 0"),
        ("CMD-SHELL", "wget -qO- localhost || echo down"),
        ("CMD-SHELL", "node -e 'process.exit(0)'"),
    ],
)
def test_fake(test: tuple[str, ...]) -> None:
    """It passes whatever the service does."""
    assert always_passes(test)


@pytest.mark.parametrize(
    "test",
    [
        ("CMD", "pg_isready"),
        ("CMD", "curl", "-f", "http://localhost:8000/health"),
        ("CMD-SHELL", "curl -f http://localhost/ || exit 1"),
        ("CMD-SHELL", "test -f /tmp/ready"),
        ("CMD-SHELL", "echo ruok | nc localhost 2181 | grep imok"),
        ("CMD-SHELL", '[ "$(redis-cli ping)" = PONG ]'),
        ("CMD-SHELL", "true && curl -f localhost"),
        ("CMD", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000 && printf x >&3 && [ a = b ]"),
        ("CMD", "python", "-c", "import urllib.request; urllib.request.urlopen('http://localhost')"),
        ("CMD-SHELL", "if curl -f localhost; then exit 0; else exit 1; fi"),
        ("NONE",),
        (),
    ],
)
def test_real(test: tuple[str, ...]) -> None:
    """It asks something, or is none."""
    assert not always_passes(test)


@pytest.mark.parametrize(
    ("test", "programs"),
    [
        (("CMD", "curl", "-f", "x"), (("curl",),)),
        (("CMD-SHELL", "curl -f x || exit 1"), (("curl",),)),
        (("CMD-SHELL", "curl -f x || wget -q x"), (("curl",), ("wget",))),
        (("CMD-SHELL", "A=1 curl x | grep -q ok && test -f y"), (("curl", "grep"),)),
        (("CMD-SHELL", "curl x > /dev/null 2>&1 || exit 1"), (("curl",),)),
        (("CMD-SHELL", "test -f /x"), ((),)),
        (("CMD-SHELL", "$TOOL x"), ()),
        (("CMD-SHELL", "[ $(curl x) = 1 ]"), ()),
        (("NONE",), ()),
    ],
)
def test_programs(test: tuple[str, ...], programs: tuple[tuple[str, ...], ...]) -> None:
    """What has to be in the image, per `||` alternative; nothing is said of what only a shell understands."""
    assert alternatives(test) == programs


@given(st.text(max_size=60))
def test_any_line_is_survived(line: str) -> None:
    """Health checks of other people hold anything."""
    always_passes(("CMD-SHELL", line))
    alternatives(("CMD-SHELL", line))


def test_missing_disabled_and_waited_for() -> None:
    """No check is an info, a disabled one that others wait for is an error."""
    text = """
a: {image: x, healthcheck: {disable: true}}
b: {image: x, depends_on: {a: {condition: service_healthy}}, x-ops: {probe: {tcp: {port: 80}}}}
c: {image: x, healthcheck: {test: [CMD, "true"]}}
d: {image: x, x-ops: {oneshot: once}}
"""
    found = [(item.code, item.service) for item in check_health(stack(text))]
    assert found == [("no-healthcheck", "a"), ("healthcheck-waited-missing", "a"), ("fake-healthcheck", "c")]


@pytest.mark.parametrize(
    ("keys", "bad"),
    [("restart: always", True), ("restart: unless-stopped", True), ("restart: on-failure", False),
     ("restart: 'no'", False), ("deploy: {restart_policy: {condition: any}}", True), ("labels: {}", False)],
)  # fmt: skip
def test_oneshots_that_never_end(keys: str, bad: bool) -> None:
    """Somebody waits for it to complete, and it is restarted whenever it does."""
    waiting = "b: {image: x, depends_on: {a: {condition: service_completed_successfully}}}"
    assert bool(list(check_oneshots(stack(f"a: {{image: x, {keys}}}\n{waiting}")))) is bad
