"""A command that systemd runs every minute and after each boot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blocks.files import write_private
from blocks.machine import ask
from compose.stack.errors import Failed
from compose.stack.units import variables_text
from compose.stack.watchdog_units import watchdog_service_text, watchdog_timer_text


@dataclass(frozen=True)
class Timer:
    """A timer and its unit.

    Args:
        run: Directory of the file that holds the command's variables (0600).
        name: Of both units, without ending.
        places: Where units are.
    """

    run: Path
    name: str = "sutazai-ops-watchdog"
    places: Path = Path("/etc/systemd/system")

    def active(self) -> bool:
        """Whether it ticks."""
        return ask(("systemctl", "is-active", "--quiet", f"{self.name}.timer"))[0] == 0

    def install(self, argv: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Write both units and let the timer tick; False when it did so already, exactly like this.

        Raises:
            Failed: systemd refused.
        """
        texts = {
            self.places / f"{self.name}.service": watchdog_service_text(argv, str(self._variables)),
            self.places / f"{self.name}.timer": watchdog_timer_text(f"{self.name}.service"),
        }
        wanted = {**texts, self._variables: variables_text(environment)}
        if all(_read(path) == text for path, text in wanted.items()) and self.active():
            return False
        write_private(self._variables, wanted[self._variables])
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
        for words in (("daemon-reload",), ("enable", f"{self.name}.timer"), ("restart", f"{self.name}.timer")):
            code, _, error = ask(("systemctl", *words), limit=90)
            if code:
                said = f"systemctl {' '.join(words)}: {error}"
                raise Failed(said, where=self.name, next=f"journalctl -u {self.name}.timer -n 50")
        return True

    def remove(self) -> bool:
        """Forget both units; False when there were none."""
        timer = self.places / f"{self.name}.timer"
        if not timer.exists():
            return False
        ask(("systemctl", "disable", "--now", timer.name), limit=90)
        for path in (timer, self.places / f"{self.name}.service", self._variables):
            path.unlink(missing_ok=True)
        ask(("systemctl", "daemon-reload"))
        return True

    @property
    def _variables(self) -> Path:
        return self.run / "watchdog.env"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
