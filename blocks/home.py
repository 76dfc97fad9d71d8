"""OPS_HOME: the one directory that holds what this product remembers, secrets included."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blocks.files import create_private, write_private
from compose.stack import dotenv, settings
from compose.stack.errors import Refused

SCHEMA = 1


@dataclass(frozen=True)
class Home:
    """The state directory and the places in it."""

    path: Path

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ, *, root: bool | None = None) -> Home:
        """The directory OPS_HOME names, else /var/lib/sutazai-ops for root, else the user's XDG state.

        Args:
            environment: Variables to look in.
            root: Whether to decide as root; None asks the system.
        """
        named = environment.get("OPS_HOME")
        if named:
            return cls(Path(named).expanduser().absolute())
        if root if root is not None else os.geteuid() == 0:
            return cls(Path("/var/lib/sutazai-ops"))
        state = environment.get("XDG_STATE_HOME") or "~/.local/state"
        return cls(Path(state).expanduser() / "sutazai-ops")

    @property
    def env_file(self) -> Path:
        """Settings and secrets of our own stacks."""
        return self.path / ".env"

    @property
    def prefect(self) -> Path:
        """PREFECT_HOME."""
        return self.path / "prefect"

    @property
    def auth_file(self) -> Path:
        """`user:password` of the Prefect server."""
        return self.prefect / "auth"

    @property
    def logs(self) -> Path:
        """Logs of the server, the worker, the engine and of the command line's own accidents."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """Records of the processes that we started."""
        return self.path / "run"

    @property
    def stacks(self) -> Path:
        """One directory per known stack."""
        return self.path / "stacks"

    @property
    def release_key(self) -> Path:
        """Key of the hashes that stand for secrets."""
        return self.path / "keys" / "release.key"

    def stack(self, name: str) -> Path:
        """The directory of one stack."""
        return self.stacks / name

    def make(self) -> None:
        """Make the directories, for their owner only."""
        for place in (self.path, self.prefect, self.logs, self.run, self.stacks, self.release_key.parent):
            try:
                place.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise Refused(
                    f"cannot be made: {error.strerror}",
                    where=str(place),
                    next="run as a user who may write there, or set OPS_HOME to a directory of your own",
                ) from error

    def claimed_by(self) -> Path | None:
        """The clone that this directory belongs to, None when it is nobody's yet."""
        try:
            return Path(json.loads((self.path / "home.json").read_text())["clone"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(
                f"home.json cannot be read ({error})", where=str(self.path), next="restore it or set OPS_HOME"
            ) from error

    def claim(self, clone: Path) -> None:
        """Take this directory for a clone; refuse, by name, when it is another one's.

        A clone that is gone from its recorded place has moved or was removed: the next one takes over.
        """
        self.make()
        mine = clone.resolve()
        record = json.dumps({"schema": SCHEMA, "clone": str(mine)}) + "\n"
        create_private(self.path / "home.json", record)
        owner = self.claimed_by()
        if owner == mine:
            return
        if owner is not None and (owner / "ops").exists():
            raise Refused(
                f"belongs to the clone in {owner}, not to {mine}",
                where=str(self.path),
                next=f"work in {owner}, or give this clone its own: export OPS_HOME=DIRECTORY",
            )
        write_private(self.path / "home.json", record)

    def stored(self) -> dict[str, str]:
        """The variables in .env; empty when it is not there yet."""
        try:
            text = self.env_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        return dotenv.parse(text, str(self.env_file), os.environ)

    def salvaged(self) -> dict[str, str]:
        """The variables in .env, as many of them as can be read."""
        try:
            return self.stored()
        except Refused:
            return dotenv.salvaged(self.env_file.read_text(encoding="utf-8"))

    def settings(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Every setting's value: environment, then .env, then default."""
        return settings.effective(environment, self.stored())

    def add_to_env(self, values: Mapping[str, str], comment: str = "") -> None:
        """Append variables to .env, leaving every line of it as it is."""
        text = self.env_file.read_text(encoding="utf-8") if self.env_file.exists() else ""
        if values or not text:
            write_private(self.env_file, dotenv.append(text, values, comment))
        elif self.env_file.stat().st_mode & 0o077:
            self.env_file.chmod(0o600)

    def keyed_hash(self, value: str) -> str:
        """HMAC-SHA256 of a secret under this home's own key: equal values are seen, the value is not."""
        key = create_private(self.release_key, secrets.token_hex(32))
        return hmac.new(bytes.fromhex(key.strip()), value.encode(), hashlib.sha256).hexdigest()

    def prefect_auth(self) -> str:
        """`user:password` of the Prefect server, made at the first call."""
        return create_private(self.auth_file, f"ops:{secrets.token_urlsafe(24)}\n").strip()
