"""Signatures, as we and as openssl see them."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from blocks.backup.signing import Keyring, fingerprint, trust_key
from blocks.home import Home
from compose.stack.errors import Refused

openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not here")


def keyring(place: Path) -> Keyring:
    home = Home(place)
    home.make()
    return Keyring.of(home)


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    """0600, and the same at the next call; it does not show."""
    one, again = keyring(tmp_path), keyring(tmp_path)
    path = tmp_path / "keys" / "backup-signing.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert one.public == again.public
    assert "PRIVATE" in path.read_text()
    assert "PRIVATE" not in repr(one)


def test_our_own_signature_holds(tmp_path: Path) -> None:
    """64 bytes; any change to the data is seen."""
    keys = keyring(tmp_path)
    signature = keys.sign(b"data")
    assert len(signature) == 64
    assert keys.check(b"data", signature, where="x").foreign is False
    for data, other in ((b"datb", signature), (b"data", bytes(64)), (b"data", b""), (b"data", signature[:63])):
        with pytest.raises(Refused, match="does not hold"):
            keys.check(data, other, where="x")


def test_a_foreign_key_needs_trust(tmp_path: Path) -> None:
    """Given for once it is told as foreign; put among the trusted keys it is as good as ours."""
    ours, theirs = keyring(tmp_path / "a"), keyring(tmp_path / "b")
    signature = theirs.sign(b"data")
    with pytest.raises(Refused, match="not trusted here"):
        ours.check(b"data", signature, claimed=theirs.public, where="x")
    signer = ours.check(b"data", signature, claimed=theirs.public, trust=True, where="x")
    assert signer.foreign
    with pytest.raises(Refused, match="does not hold"):
        ours.check(b"other", signature, claimed=theirs.public, trust=True, where="x")
    trust_key(Home(tmp_path / "a"), theirs.public)
    assert not keyring(tmp_path / "a").check(b"data", signature, where="x").foreign


def test_what_is_no_key_is_refused_by_name(tmp_path: Path) -> None:
    """Among the trusted keys, and in the place of our own."""
    keyring(tmp_path)
    trusted = tmp_path / "keys" / "trusted"
    trusted.mkdir()
    (trusted / "x.pem").write_text("hello")
    with pytest.raises(Refused, match=r"x\.pem"):
        keyring(tmp_path)
    (trusted / "x.pem").unlink()
    (tmp_path / "keys" / "backup-signing.key").write_text("hello")
    with pytest.raises(Refused, match="no Ed25519 key"):
        keyring(tmp_path)


@openssl
def test_openssl_says_the_same(tmp_path: Path) -> None:
    """The signature is checked, and the fingerprint found, with standard tools."""
    keys = keyring(tmp_path)
    public, data, signature = tmp_path / "public.pem", tmp_path / "manifest.json", tmp_path / "manifest.json.sig"
    public.write_text(keys.public)
    data.write_bytes(b'{"schema": 1}\n')
    signature.write_bytes(keys.sign(data.read_bytes()))
    check = ("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin", "-in", str(data))
    argv = (*check, "-sigfile", str(signature))
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "Signature Verified Successfully" in done.stdout
    der = subprocess.run(
        ("openssl", "pkey", "-pubin", "-in", str(public), "-outform", "DER"), capture_output=True, check=True
    ).stdout
    told = subprocess.run(("sha256sum",), input=der, capture_output=True, check=True).stdout.decode()
    assert told.split()[0] == fingerprint(keys.public)
    data.write_bytes(b'{"schema": 2}\n')
    assert subprocess.run(argv, capture_output=True, check=False).returncode != 0
