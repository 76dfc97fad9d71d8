"""A bare Debian machine for a test: a privileged container with nothing installed, and this clone in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
IMAGE = "sutazai/base:bookworm"
WITH_SYSTEMD = "t-systemd:bookworm"
CA = "/etc/ssl/certs/ca-certificates.crt"
PASSED_ON = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
SAVED = 900.0


def docker(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """One docker command on this machine's engine; fails the test when it fails."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"docker {' '.join(words[:3])}: {done.stderr}"
    return done  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Machine:
    """The bare machine, by the name of its container."""

    name: str
    clone: str = "/root/sutazai"
    systemd: bool = False

    def start(self) -> None:
        """Start it with this machine's certificates and package sources, and HEAD of this clone in it."""
        if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True).returncode:
            subprocess.run([str(CLONE / "compose/images/base/build")], check=True)
        how = self._with_systemd() if self.systemd else ("--init", IMAGE, "sleep", "infinity")
        docker("run", "-d", "--privileged", "--name", self.name, "-v", "/var/lib/docker", *how)
        if Path(CA).exists():
            self.run("mkdir", "-p", str(Path(CA).parent), self.clone)
            docker("cp", "-L", CA, f"{self.name}:{CA}")
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=CLONE, capture_output=True, check=True).stdout
        subprocess.run(
            ["docker", "exec", "-i", self.name, "tar", "x", "-C", self.clone], input=archive, check=True
        )

    def _with_systemd(self) -> tuple[str, ...]:
        """What makes the container boot systemd; its image is the bare one with systemd in it."""
        build = f"FROM {IMAGE}\nRUN apt-get update -qq && apt-get install -y -qq systemd systemd-sysv dbus\n"
        docker("build", "-q", "-t", WITH_SYSTEMD, "-", input=build)
        mounts = ("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec")
        return ("-e", "container=docker", "--stop-signal", "SIGRTMIN+3", *mounts, WITH_SYSTEMD, "/sbin/init")

    def reboot(self) -> None:
        """Stop everything in it and boot again."""
        docker("restart", "-t", "60", self.name)

    def remove(self) -> None:
        """Remove it with everything that its engine stored."""
        subprocess.run(["docker", "rm", "-fv", self.name], capture_output=True)
        if self.systemd:
            subprocess.run(["docker", "image", "rm", WITH_SYSTEMD], capture_output=True)

    def run(self, *words: str, check: bool = True, limit: float = 3000) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        given = [word for name in PASSED_ON if os.environ.get(name) for word in ("-e", name)]
        done = subprocess.run(
            ["docker", "exec", "-i", *given, self.name, *words], capture_output=True, text=True, timeout=limit
        )
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def ops(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the clone's command line in it."""
        return self.run(f"{self.clone}/ops", *words, check=check)

    def load(self, images: Iterable[str]) -> None:
        """Give its engine images that this machine's engine has."""
        saving = subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE)
        try:
            done = subprocess.run(
                ["docker", "exec", "-i", self.name, "docker", "load"],
                stdin=saving.stdout, capture_output=True, text=True, timeout=SAVED,
            )  # fmt: skip
        finally:
            saving.stdout.close()  # type: ignore[union-attr]
            saved = saving.wait()
        assert done.returncode == 0, done.stderr
        assert saved == 0
