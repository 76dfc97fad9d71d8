"""Nothing is encrypted to a key that nobody was seen to hold."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pyrage
import pytest

from blocks.backup.proof import answer, challenge_bytes, prove, require_proven, unproven
from blocks.backup.sealing import open_bytes
from blocks.home import Home
from compose.stack.backup.request import RekeyRequest
from compose.stack.errors import OpsError, Refused
from tasks.backup import keys
from tasks.steps import Plainly
from tests.backup_lab import new_identity


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home of the test's own."""
    made = Home(tmp_path / "home")
    made.make()
    return made


def test_a_first_backup_is_refused_until_the_key_was_seen(home: Home) -> None:
    """The error names the recipient and the command; afterwards it is fine, also in the next run."""
    own = new_identity()
    with pytest.raises(Refused, match=own.recipients[0]) as told:
        require_proven(home, own.recipients)
    assert "./ops key prove" in told.value.next
    assert prove(home, own.recipients, own) == list(own.recipients)
    require_proven(home, own.recipients)
    require_proven(home, ())


def test_every_recipient_is_proven_on_its_own(home: Home) -> None:
    """One key proves nothing about another one."""
    one, other = new_identity(), new_identity()
    both = (*one.recipients, *other.recipients)
    prove(home, both, one)
    assert unproven(home, both) == other.recipients


def test_a_wrong_key_proves_nothing(home: Home) -> None:
    """It is refused, and nothing is recorded."""
    own = new_identity()
    with pytest.raises(Refused, match="opens nothing"):
        prove(home, own.recipients, new_identity())
    assert unproven(home, own.recipients) == own.recipients


def test_the_key_need_not_come_here(home: Home) -> None:
    """A challenge that was decrypted elsewhere proves as much."""
    own = new_identity()
    line = open_bytes(challenge_bytes(home, own.recipients[0]), own, where="x").decode()
    with pytest.raises(Refused):
        answer(home, own.recipients, "sutazai-proof-0")
    assert answer(home, own.recipients, f"{line}\n") == own.recipients[0]
    require_proven(home, own.recipients)


def test_backups_are_given_to_nobody_who_was_not_seen_to_hold_the_key(home: Home, tmp_path: Path) -> None:
    """A mistyped recipient would lose all of them: refused before a target or the engine is asked.

    Who is proven need not be in the settings.
    """
    old, new = tmp_path / "old.key", tmp_path / "new.key"
    keys.new(home, old)
    recipient = keys.new(home, new)
    request = RekeyRequest(files=["none.yml"], identity=str(old), add=[recipient])
    with pytest.raises(Refused, match=f"nobody has shown.*{recipient}") as told:
        keys.rekey_backups(request, home, Plainly())
    assert "--recipient" in told.value.next
    with pytest.raises(Refused, match="opens nothing"):
        keys.prove(home, str(old), [recipient])
    assert keys.prove(home, str(new), [recipient]) == (recipient,)
    with pytest.raises(OpsError, match=r"none\.yml"):
        keys.rekey_backups(request, home, Plainly())


@pytest.mark.skipif(not shutil.which("age"), reason="the age program is not here")
def test_the_age_program_answers_too(home: Home, tmp_path: Path) -> None:
    """With a key file that only it reads."""
    secret = pyrage.x25519.Identity.generate()
    (tmp_path / "key").write_text(f"{secret}\n")
    recipient = str(secret.to_public())
    sealed = challenge_bytes(home, recipient)
    done = subprocess.run(
        ("age", "-d", "-i", str(tmp_path / "key")), input=sealed, capture_output=True, check=True
    )
    assert answer(home, (recipient,), done.stdout.decode()) == recipient


def test_a_record_that_was_spoiled_proves_nothing(home: Home) -> None:
    """It is refused by name."""
    own = new_identity()
    prove(home, own.recipients, own)
    (path,) = (home.path / "keys" / "proofs").iterdir()
    path.write_text('{"proven": "yes"}')
    with pytest.raises(Refused, match="no record of a proof"):
        require_proven(home, own.recipients)
