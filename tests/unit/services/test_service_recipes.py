"""The Dockerfiles of the services: one pattern, so that their first layers are shared."""

import re
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[3] / "compose" / "services"
NAMES = ("backend-agi", "faiss", "frontend-agi", "model-init", "task-coordinator")
PACKAGES = {"faiss": "faiss_service"}  # the library has that name already
OWN = ("EXPOSE", "LABEL org.opencontainers.image.title", "RUN install -d")


def lines(name: str) -> list[str]:
    """The Dockerfile from its first instruction, without what is the service's own."""
    text = (SERVICES / name / "Dockerfile").read_text()
    own = PACKAGES.get(name, name.replace("-", "_"))
    kept = [line.replace(own, "PACKAGE") for line in text[text.index("ARG BASE") :].splitlines()]
    return [line for line in kept if not line.startswith(OWN)]


@pytest.mark.parametrize("name", NAMES)
def test_one_pattern(name: str) -> None:
    """They differ in package, title, port and the folder of their data only."""
    assert lines(name) == lines(NAMES[0])


@pytest.mark.parametrize("name", NAMES)
def test_recipe(name: str) -> None:
    """Not root, no registry syntax line, nothing unpinned, no secret baked in."""
    text = (SERVICES / name / "Dockerfile").read_text()
    assert "USER 10001:10001" in text
    assert "# syntax=" not in text
    assert "--require-hashes" in text
    assert not re.search(r"^(ARG|ENV).*(PASSWORD|TOKEN|SECRET)", text, re.M)


@pytest.mark.parametrize("name", NAMES)
def test_requirements_are_pinned_with_hashes(name: str) -> None:
    """Every line pins one version; what is in the .in file is in the .txt file."""
    pinned = (SERVICES / name / "requirements.txt").read_text()
    wanted = (SERVICES / name / "requirements.in").read_text()
    packages = [line.split("==")[0] for line in pinned.splitlines() if re.match(r"^[a-z0-9]", line)]
    for line in (line for line in wanted.splitlines() if line and not line.startswith("#")):
        assert re.split(r"[\[=<>]", line)[0] in packages
    assert pinned.count("--hash=sha256:") >= len(packages)
