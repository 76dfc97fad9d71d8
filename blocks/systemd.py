"""Services kept by systemd, so that they return by themselves after a reboot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blocks.files import write_private
from blocks.machine import ask, has_systemd, is_root
from blocks.polling import poll
from compose.stack.errors import Failed
from compose.stack.units import unit_text, variables_text


def usable() -> bool:
    """Whether we can keep services by units: systemd runs this machine and we are root."""
    return has_systemd() and is_root()


@dataclass(frozen=True)
class Units:
    """Keeps services as units; the same verbs as `blocks.supervisor.Supervisor`.

    Args:
        run: Directory of the files that hold the services' variables (0600: a password is among them).
        prefix: Beginning of every unit's name.
        places: Where units are.
    """

    run: Path
    prefix: str = "sutazai-ops-"
    places: Path = Path("/etc/systemd/system")

    def unit(self, name: str) -> str:
        """The unit of a service."""
        return f"{self.prefix}{name}.service"

    def running(self, name: str) -> bool:
        """Whether the service runs."""
        return ask(("systemctl", "is-active", "--quiet", self.unit(name)))[0] == 0

    def current(self, name: str, argv: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether the service runs with exactly this command and these variables."""
        written = _read(self.places / self.unit(name)), _read(self._variables(name))
        return written == (self._text(name, argv), variables_text(environment)) and self.running(name)

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Write the unit, enable it and (re)start it."""
        write_private(self._variables(name), variables_text(environment))
        place = self.places / self.unit(name)
        place.write_text(self._text(name, argv), encoding="utf-8")
        place.chmod(0o644)
        for words in (("daemon-reload",), ("enable", self.unit(name)), ("restart", self.unit(name))):
            code, _, error = ask(("systemctl", *words), limit=90)
            if code:
                raise Failed(f"systemctl {' '.join(words)}: {error}", where=name, next=self._look(name))

    def stop(self, name: str) -> bool:
        """Stop the service and forget its unit; False when there was none."""
        place = self.places / self.unit(name)
        if not place.exists():
            return False
        ask(("systemctl", "disable", "--now", self.unit(name)), limit=90)
        place.unlink()
        self._variables(name).unlink(missing_ok=True)
        ask(("systemctl", "daemon-reload"))
        return True

    def wait(self, name: str, ready: Callable[[], bool], limit: float) -> None:
        """Poll until the service is ready; systemd restarts one that dies meanwhile."""
        if not poll(ready, limit):
            raise Failed(f"not ready after {limit:.0f} s", where=name, next=self._look(name))

    def _look(self, name: str) -> str:
        return f"journalctl -u {self.unit(name)} -n 50"

    def _variables(self, name: str) -> Path:
        return self.run / f"{name}.env"

    def _text(self, name: str, argv: Sequence[str]) -> str:
        return unit_text(self.unit(name), argv, str(self._variables(name)))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
