"""Probes as values: what to ask a service to learn whether it is ready."""

from __future__ import annotations

from dataclasses import dataclass

LOCAL = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "[::1]", "::1"})
"""Names by which a container calls itself."""
ANSWER = 5.0
INSIDE_EVERY = 2.0
SILENT = 30.0
SOCKET_ONLY = 30.0  # PostgreSQL's first start answers on its socket long before it is open to others


@dataclass(frozen=True)
class HttpProbe:
    """GET a path on the container's own address.

    Args:
        status: The one status that passes; None for any from 200 to 399.
        follow: Judge what a redirection leads to, as `wget` and `curl -L` do.
        host: The name that is asked for, where it is not the address; some applications answer no other.
    """

    port: int
    path: str = "/"
    status: int | None = None
    follow: bool = False
    host: str = ""

    def __str__(self) -> str:
        return f"HTTP GET :{self.port}{self.path}"


@dataclass(frozen=True)
class TcpProbe:
    """The port accepts a connection."""

    port: int

    def __str__(self) -> str:
        return f"TCP :{self.port}"


@dataclass(frozen=True)
class PostgresProbe:
    """`SELECT 1` over the network, with the credentials of the container.

    Args:
        strict: False to pass, as `pg_isready` does, once the server accepts connections at all.
    """

    port: int = 5432
    strict: bool = False

    def __str__(self) -> str:
        return f"PostgreSQL query :{self.port}"


@dataclass(frozen=True)
class RedisProbe:
    """PING over the network, with the password of the container.

    Args:
        strict: False to pass, as `redis-cli ping` does, on any answer but that it is still loading.
    """

    port: int = 6379
    strict: bool = False

    def __str__(self) -> str:
        return f"Redis PING :{self.port}"


@dataclass(frozen=True)
class ExecProbe:
    """Run a command inside the container; exit code 0 passes.

    Args:
        argv: The command; empty for the health check that the container itself declares.
        timeout: Seconds.
    """

    argv: tuple[str, ...] = ()
    timeout: float = 30.0

    def __str__(self) -> str:
        return f"exec {' '.join(self.argv)}" if self.argv else "exec of the declared health check"


@dataclass(frozen=True)
class RunningProbe:
    """The container runs: all that can be known of a service without a port or a check."""

    def __str__(self) -> str:
        return "running"


@dataclass(frozen=True)
class ExitProbe:
    """The container exited with code 0."""

    def __str__(self) -> str:
        return "exit code 0"


NetworkProbe = HttpProbe | TcpProbe | PostgresProbe | RedisProbe
Probe = NetworkProbe | ExecProbe | RunningProbe | ExitProbe


@dataclass(frozen=True)
class Readiness:
    """How one service is proven ready, and what follows when it is not.

    Args:
        probe: What is asked first.
        why: Where the probe comes from, in words.
        fallback: What is asked inside where the first cannot be reached.
        equivalent: The probe only stands for the fallback, whose word counts also where the probe hears a no.
        binding: True when not becoming ready is a failure (the author declared it); False when it only informs.
        within: Seconds after the start until a service that is not ready has failed.
    """

    probe: Probe
    why: str
    fallback: ExecProbe | None = None
    binding: bool = True
    within: float = 120.0
    equivalent: bool = False

    def patience(self, answer: Answer) -> float:
        """Seconds that such an answer is put up with: not for ever where nobody can be asked."""
        return min(self.within, SILENT) if answer.silent else self.within

    @property
    def limit(self) -> float:
        """Seconds that one answer may take: those of the declared check, where the probe stands for it."""
        return self.fallback.timeout if self.fallback and self.equivalent else ANSWER

    def inside_counts(self, answer: Answer, waited: float) -> bool:
        """Whether the declared check has the last word, after the probe said no.

        Args:
            answer: What the probe said.
            waited: Seconds since the container's start; infinite for one that was not started now.
        """
        if self.fallback is None:
            return False
        if not self.equivalent:
            return answer.silent
        return not (isinstance(self.probe, PostgresProbe) and answer.refused and waited < SOCKET_ONLY)

    def pause_inside(self, answer: Answer) -> float:
        """Seconds between two runs of the declared check: rare where a database's own answer tells more."""
        knows = isinstance(self.probe, PostgresProbe) or (isinstance(self.probe, RedisProbe) and answer.reached)
        return SOCKET_ONLY if knows else INSIDE_EVERY


@dataclass(frozen=True)
class Answer:
    """What a probe brought back.

    Args:
        ok: The service is ready.
        detail: What it said, in a few words, for people.
        reached: False when nothing answered at that address at all.
        refused: The network reaches the address, and nobody listens there.
        unproven: It answered, and let us in no further: the password is not known here.
        seconds: How long the answer took.
    """

    ok: bool
    detail: str
    reached: bool = True
    seconds: float = 0.0
    refused: bool = False
    unproven: bool = False

    @property
    def silent(self) -> bool:
        """It proves nothing, neither that the service is ready nor that it is not."""
        return not self.ok and (self.unproven or not (self.reached or self.refused))
