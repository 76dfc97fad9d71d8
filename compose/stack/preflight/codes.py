"""The codes of the preflight: one table that the checks, the command line and docs/preflight.md share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An error refuses, a warning is shown, an info is for the record."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Code:
    """One kind of finding.

    Args:
        topic: Heading in the documentation.
        severity: In anybody's stack.
        title: What it means.
        next: What to do about it.
        own: In our own stacks (`x-ops.own: true`), where it differs.
        acceptable: False when going on could not work.
    """

    topic: str
    severity: Severity
    title: str
    next: str
    own: Severity | None = None
    acceptable: bool = True

    def for_stack(self, own: bool) -> Severity:
        """The severity in our own stacks, or in others."""
        return self.own or self.severity if own else self.severity


E, W, I = Severity  # noqa: E741 - a table reads best with one letter per severity
FILE, PORTS, STORAGE, HEALTH = "The file", "Ports and networks", "Volumes and files", "Health checks"
SECRETS, LIMITS, SAFETY, IMAGES = "Secrets", "Limits and the machine", "Safety", "Images"

CODES: dict[str, Code] = {
    # The file
    "yaml-broken": Code(FILE, E, "A file is not valid YAML", "correct the line", acceptable=False),
    "file-missing": Code(FILE, E, "A compose file, an include or an extended file cannot be read",
                         "correct the path, or put the file there", acceptable=False),
    "compose-refuses": Code(FILE, E, "Docker Compose refuses the project for a reason not listed here",
                            "correct the compose file", acceptable=False),
    "unknown-key": Code(FILE, E, "A service has a key that Compose does not know",
                        "correct the spelling, or prefix it with x-", acceptable=False),
    "undefined-dependency": Code(FILE, E, "A service refers to one that does not exist or is in no active profile",
                                 "define the service, activate its profile, or remove the reference",
                                 acceptable=False),
    "undefined-resource": Code(FILE, E, "A service uses a volume, network, secret or config that is not declared",
                               "declare it at the top level, or correct the name", acceptable=False),
    "dependency-cycle": Code(FILE, E, "Services wait for each other", "remove one of the edges", acceptable=False),
    "key-unsupported": Code(FILE, E, "The installed Compose accepts a key and then does not do what it says",
                            "upgrade Docker Compose, or remove the key"),
    "no-image": Code(FILE, E, "A service has neither image nor build", "give it one of them", acceptable=False),
    "bad-interpolation": Code(FILE, E, "A $ that starts no variable", "write $$ for a plain $", acceptable=False),
    "required-variable": Code(FILE, E, "A variable that the file requires (`${NAME:?}`) is not set",
                              "set it in the environment or in an env file", acceptable=False),
    "unset-variable": Code(FILE, W, "A variable without default is not set; Compose uses an empty text",
                           "set it, or give it a default: ${NAME:-value}", own=E),
    "env-file-missing": Code(FILE, E, "An env file that a service needs is missing",
                             "put it there, or write `required: false`", acceptable=False),
    "env-file-broken": Code(FILE, W, "An env file has lines that are no assignment", "write NAME=value"),
    "container-name-replicas": Code(FILE, E, "A fixed container name together with replicas",
                                    "remove container_name, or run one replica", acceptable=False),
    "duplicate-container-name": Code(FILE, E, "Two services have one container name", "give each its own",
                                     acceptable=False),
    "oneshot-restarts": Code(FILE, E, "A one-shot that others wait for is restarted whenever it ends",
                             'write restart: "no" or on-failure'),
    "unused-volume": Code(FILE, W, "A volume is declared and used by nobody", "mount it or remove it"),
    # Ports and networks
    "duplicate-port": Code(PORTS, E, "Two containers publish the same host port", "give one of them another"),
    "port-taken": Code(PORTS, E, "A host port is held by somebody else", "stop the holder, or use another port"),
    "subnet-taken": Code(PORTS, E, "A subnet overlaps with another Docker network", "choose another subnet, or "
                         "remove the network", acceptable=False),
    "subnet-invalid": Code(PORTS, E, "A subnet is not valid", "write it as 172.20.0.0/16", acceptable=False),
    "subnet-routed": Code(PORTS, W, "A subnet overlaps with a route of this machine", "choose another subnet"),
    "network-differs": Code(PORTS, W, "The network exists with another subnet, and Compose keeps it",
                            "docker compose down, then deploy again"),
    "external-missing": Code(PORTS, E, "An external network or volume does not exist",
                             "create it first", acceptable=False),
    "container-name-taken": Code(PORTS, E, "A container name belongs to a container of another project",
                                 "rename one of them", acceptable=False),
    "port-not-exposed": Code(PORTS, I, "The image does not say that it listens on the published container port",
                             "check the container port"),
    # Volumes and files
    "bind-missing": Code(STORAGE, E, "The source of a bind mount is missing, and Docker would refuse it",
                         "put it there", acceptable=False),
    "bind-not-file": Code(STORAGE, E, "A mounted file is missing (Docker would make an empty directory of its "
                          "name) or is a directory", "put the file there"),
    "bind-created": Code(STORAGE, W, "The directory of a bind mount is missing and will be made, empty",
                         "make it first if it should hold something"),
    "build-context-missing": Code(STORAGE, E, "A build context is missing and the image is not here",
                                  "correct build.context, or get the image"),
    "dockerfile-missing": Code(STORAGE, E, "A Dockerfile is missing and the image is not here",
                               "correct build.dockerfile, or get the image"),
    "copy-source-missing": Code(STORAGE, E, "A Dockerfile copies what its context lacks, and the image is "
                                "not here", "put it there, or correct the line"),
    "build-not-repeatable": Code(STORAGE, W, "The image is here, but what it was built from is not",
                                 "restore the build's files"),
    "moving-build": Code(STORAGE, W, "A build takes a moving branch of a repository", "name a commit: URL#<sha>"),
    "resource-file-missing": Code(STORAGE, E, "The file of a secret or config is missing", "put it there",
                                  acceptable=False),
    "shared-database-volume": Code(STORAGE, E, "A database's volume is mounted read-write by another container",
                                   "give each its own volume, or mount it :ro"),
    "database-volume-reader": Code(STORAGE, W, "A database's volume is mounted by another service too",
                                   "make sure that it never writes while the database runs"),
    "volume-misses-data": Code(STORAGE, E, "A volume is mounted where the image does not keep its data: it goes "
                               "with the container", "mount the volume on the data path"),
    "data-not-kept": Code(STORAGE, W, "A store's data path is on no volume of its own: `down` loses the data",
                          "mount a named volume there"),
    "image-volume-uncovered": Code(STORAGE, W, "The image keeps data on a path that no named volume covers",
                                   "mount a named volume there"),
    "volume-owner": Code(STORAGE, W, "A new volume would belong to another user than the container's",
                         "make the directory in the image with the right owner"),
    "first-start-secret": Code(STORAGE, E, "A value that a database took over at its first start differs now",
                               "put the earlier value back, or change it inside the database first"),
    # Health checks
    "fake-healthcheck": Code(HEALTH, W, "A health check that passes whatever the service does",
                             "ask the service itself", own=E),
    "no-healthcheck": Code(HEALTH, I, "No health check in the file", "add one, or an x-ops.probe"),
    "healthcheck-program-missing": Code(HEALTH, E, "The image lacks the program that its health check calls",
                                        "use one that the image has"),
    "healthcheck-waited-missing": Code(HEALTH, E, "Others wait for the health of a service without health check",
                                       "add one, or wait for service_started"),
    # Secrets
    "default-secret": Code(SECRETS, W, "A secret has a value that everybody knows", "set a strong one of your own",
                           own=E),
    "empty-secret": Code(SECRETS, W, "A secret is empty", "set it", own=E),
    "missing-secret": Code(SECRETS, W, "A database has no password, and its image refuses to start without",
                           "set it", own=E),
    "no-authentication": Code(SECRETS, W, "A database lets everybody in", "require a password", own=E),
    # Limits and the machine
    "cpu-limit": Code(LIMITS, E, "A CPU limit above the machine's: the engine refuses it", "lower the limit",
                      acceptable=False),
    "memory-limit": Code(LIMITS, E, "A memory limit above the machine's protects nobody", "lower the limit"),
    "memory-limit-small": Code(LIMITS, E, "A memory limit below the engine's minimum of 6 MB", "raise the limit",
                               acceptable=False),
    "reservation-above-limit": Code(LIMITS, E, "Memory reserved above its own limit: the engine refuses it",
                                    "lower the reservation", acceptable=False),
    "memory-reserved": Code(LIMITS, E, "All memory reservations together exceed this machine's memory",
                            "lower them, or deploy fewer services"),
    "memory-overcommitted": Code(LIMITS, W, "All memory limits together exceed this machine's memory",
                                 "lower them, or watch memory"),
    "memory-short": Code(LIMITS, W, "Less memory is free now than the stack reserves", "stop something else"),
    "cpu-reserved": Code(LIMITS, W, "CPU reservations exceed their limit, or the machine", "lower them"),
    "cpu-overcommitted": Code(LIMITS, W, "All CPU limits together are over four times this machine's CPUs",
                              "lower them, or expect slow starts"),
    "no-memory-limit": Code(LIMITS, I, "A service without memory limit may take all", "set mem_limit", own=W),
    "redis-maxmemory": Code(LIMITS, E, "Redis may use all of its container's memory, and is killed when it does",
                            "set maxmemory to three quarters of the limit or less"),
    "disk-full": Code(LIMITS, E, "Hardly any disk is left", "free some: docker system df"),
    "disk-low": Code(LIMITS, W, "Little disk is left", "free some: docker system df"),
    "inodes-full": Code(LIMITS, E, "Hardly any inodes are left", "remove many small files: docker system df"),
    "inodes-low": Code(LIMITS, W, "Few inodes are left", "remove many small files: docker system df"),
    "below-minimum": Code(LIMITS, W, "The machine is below the documented minimum, scaled to the stack's size",
                          "use a bigger machine, or expect it to be slow"),
    "below-recommended": Code(LIMITS, I, "The machine is below the documented recommendation, scaled to the "
                              "stack's size", "nothing has to be done"),
    # Safety
    "database-exposed": Code(SAFETY, W, "A database is published on all addresses; Docker's ports bypass the "
                             "firewall", "publish it on 127.0.0.1", own=E),
    "docker-socket": Code(SAFETY, W, "The engine's socket is mounted: even read-only it gives the machine away",
                          "use a filtering proxy, or take it away"),
    "docker-socket-writable": Code(SAFETY, W, "The engine's socket is mounted read-write: this service owns the "
                                   "machine", "mount it :ro behind a filtering proxy, or take it away", own=E),
    "privileged": Code(SAFETY, W, "A privileged container owns the machine", "grant single capabilities instead",
                       own=E),
    "runs-as-root": Code(SAFETY, I, "Neither file nor image names a user: it runs as root", "set user", own=W),
    # Images
    "unpinned-image": Code(IMAGES, W, "An image without version: the next pull may bring anything",
                           "name a version or a digest"),
    "image-unknown": Code(IMAGES, I, "Unknown until the image is here", "nothing has to be done"),
    "user-unknown": Code(IMAGES, E, "The image does not know the user or group that the service runs as",
                         "use a number, or a name from the image"),
    "command-missing": Code(IMAGES, W, "The image lacks the program that the service starts: it will end with 127",
                            "correct entrypoint or command"),
    "image-platform": Code(IMAGES, W, "The image was made for another kind of processor",
                           "get it for this one"),
}  # fmt: skip
