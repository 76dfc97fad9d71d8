"""The state directory: found, claimed by one clone, private."""

import stat
from pathlib import Path

import pytest

from blocks.home import Home
from compose.stack.errors import Refused


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def clone(path: Path) -> Path:
    path.mkdir()
    (path / "ops").touch()
    return path


def test_found_by_variable_root_or_user(tmp_path):
    """OPS_HOME decides; else root's place or the user's XDG state."""
    assert Home.find({"OPS_HOME": "/x"}, root=True).path == Path("/x")
    assert Home.find({}, root=True).path == Path("/var/lib/sutazai-ops")
    assert Home.find({"XDG_STATE_HOME": str(tmp_path)}, root=False).path == tmp_path / "sutazai-ops"


def test_another_clone_is_refused_by_name(home, tmp_path):
    """The second clone learns whose it is; the first may come back any time."""
    first, second = clone(tmp_path / "first"), clone(tmp_path / "second")
    home.claim(first)
    with pytest.raises(Refused, match=str(first)):
        home.claim(second)
    home.claim(first)


def test_a_clone_that_moved_keeps_its_home(home, tmp_path):
    """When nothing is left in the recorded place the next clone takes over."""
    first, second = clone(tmp_path / "first"), clone(tmp_path / "second")
    home.claim(first)
    (first / "ops").unlink()
    home.claim(second)
    assert home.claimed_by() == second


def test_everything_private(home, tmp_path):
    """Directories are 0700 and files 0600, whatever the umask."""
    home.claim(clone(tmp_path / "c"))
    home.add_to_env({"A": "1"})
    home.prefect_auth()
    home.keyed_hash("x")
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    for path in (home.env_file, home.auth_file, home.release_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_an_open_env_file_is_closed(home, tmp_path):
    """A .env that others can read becomes 0600 at the next visit, its text unchanged."""
    home.claim(clone(tmp_path / "c"))
    home.env_file.write_text("# mine\nA=1\n")
    home.env_file.chmod(0o644)
    home.add_to_env({})
    assert stat.S_IMODE(home.env_file.stat().st_mode) == 0o600
    assert home.env_file.read_text() == "# mine\nA=1\n"


def test_keyed_hash_is_stable_here_and_different_elsewhere(home, tmp_path):
    """The same value gives the same hash in one home, another in the next, never the value."""
    other = Home(tmp_path / "other")
    assert home.keyed_hash("hunter2") == home.keyed_hash("hunter2")
    assert home.keyed_hash("hunter2") != home.keyed_hash("hunter3")
    assert home.keyed_hash("hunter2") != other.keyed_hash("hunter2")


def test_broken_record_is_named(home):
    """A home.json that is no JSON refuses instead of being overwritten."""
    home.make()
    (home.path / "home.json").write_text("{")
    with pytest.raises(Refused, match=r"home\.json cannot be read"):
        home.claim(Path("/"))
