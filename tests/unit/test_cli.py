"""The command line: options, messages and exit codes, as a person gets them."""

import json
import subprocess
import sys

import pytest

from compose.stack.errors import Locked, OpsError, Refused, RolledBack
from deployments import cli, cli_test
from deployments.cli_options import stack_ref

COMMANDS = [
    "up",
    "down",
    "destroy",
    "status",
    "logs",
    "restart",
    "plan",
    "deploy",
    "verify",
    "releases",
    "rollback",
    "doctor",
    "stack",
    "test",
    "version",
]


@pytest.fixture
def ops(tmp_path):
    """Run the command line in a process of its own, with a state directory of its own."""

    def run(*arguments, home=tmp_path / "home"):
        return subprocess.run(
            [sys.executable, "-P", "-m", "deployments.cli", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "OPS_HOME": str(home), "DOCKER_HOST": "unix:///nowhere.sock"},
        )

    return run


def test_every_command_is_there(ops):
    """The help names each of them and the exit codes."""
    said = ops("--help").stdout
    assert all(f" {name} " in said for name in COMMANDS)
    assert "3 locked" in said


def test_bad_input_is_refused_with_2(ops):
    """Unknown options, unknown stacks, unreadable files: code 2, one message, no traceback."""
    for arguments in (
        ("status", "--nonsense"),
        ("nonsense",),
        ("stack", "remove", "nobody"),
        ("up", "--images", "magic"),
        ("plan", "--file", "none.yml"),
        ("plan", "--stack", "nobody"),
    ):
        done = ops(*arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert "Traceback" not in done.stderr


def test_another_clones_state_is_refused_by_name(ops, tmp_path):
    """The message names the clone that owns the directory."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "ops").touch()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "home.json").write_text(json.dumps({"schema": 1, "clone": str(other)}))
    done = ops("stack", "list")
    assert done.returncode == 2
    assert str(other) in done.stderr


def test_the_unexpected_is_short_on_screen_and_whole_in_a_log(monkeypatch, tmp_path, capsys):
    """Code 1, one line that names the log; the log has the traceback."""

    def broken(**_: object):
        raise ZeroDivisionError("deep inside")

    monkeypatch.setenv("OPS_HOME", str(tmp_path))
    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert "unexpected: ZeroDivisionError: deep inside" in said
    assert "Traceback" not in said
    assert "Traceback" in (tmp_path / "logs" / "accidents.log").read_text()


@pytest.mark.parametrize(
    ("error", "code"), [(OpsError("x"), 1), (Refused("x"), 2), (Locked("x"), 3), (RolledBack("x"), 4)]
)
def test_errors_become_their_exit_codes(monkeypatch, capsys, error, code):
    """One place maps every error of ours."""

    def fails(**_: object):
        raise error

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == code
    assert capsys.readouterr().err == "x\n"


def test_prefect_is_not_imported_for_looking(ops):
    """Its import costs more than a second; `status` has one in all."""
    code = "import sys, deployments.cli; print('prefect' in sys.modules, 'docker' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.stdout == "False False\n"


def test_paths_are_from_where_the_user_stands(monkeypatch, tmp_path):
    """A relative file becomes absolute; a name and files together are refused."""
    monkeypatch.chdir(tmp_path)
    ref = stack_ref("light", ["a.yml"], ["x.env"], "p", ["debug"])
    assert ref.files == [str(tmp_path / "a.yml")]
    assert ref.env_files == [str(tmp_path / "x.env")]
    assert (ref.project_name, ref.profiles) == ("p", ["debug"])
    with pytest.raises(Refused, match="both a name and files"):
        stack_ref("mine", ["a.yml"], None, "", None)


def test_one_pytest_run_with_everything(tmp_path):
    """All rooms, quick ones first; --fast takes the slow marks away; a chosen file runs alone."""
    for room in cli_test.ROOMS:
        (tmp_path / room).mkdir(parents=True)
    assert cli_test.pytest_command(tmp_path, (), fast=False)[-4:] == cli_test.ROOMS
    assert cli_test.FAST in cli_test.pytest_command(tmp_path, (), fast=True)
    alone = cli_test.pytest_command(tmp_path, ("tests/unit", "-x"), fast=False)
    assert alone[-2:] == ("tests/unit", "-x")
    assert "tests/integration" not in alone


@pytest.mark.parametrize(
    ("failed", "again"),
    [
        (["tests/integration/test_a.py::test_1", "tests/browser/test_b.py::test_2[x::y]"], 2),
        ([f"tests/integration/test_a.py::test_{number}" for number in range(40)], 1),
        ([f"tests/integration/test_{number}.py::test" for number in range(4)], 0),
        (["tests/integration/test_a.py::test_1", "tests/unit/test_b.py::test_2"], 0),
        ([], 0),
    ],
)
def test_only_few_files_of_the_real_thing_are_tried_a_second_time(tmp_path, failed, again):
    """A stack that could not be made fails every test of its file, and is one failure; decisions have one try."""
    cache = tmp_path / ".pytest_cache/v/cache"
    cache.mkdir(parents=True)
    (cache / "lastfailed").write_text(json.dumps(dict.fromkeys(failed, True)))
    assert len(cli_test.worth_a_second_try(tmp_path)) == again
