"""Simulators: programs of ours that speak the interface of one that cannot be had here. For tests only.

They prove that our client asks as the documented interface wants it, and nothing about the real program.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

QDRANT = "sutazai-test/qdrant-simulator:1"
BASE = "sutazai/backend-agi:17.0.0"
"""An image with Python that is there wherever the light stack was built."""

DOCKERFILE = f"""\
FROM {BASE}
LABEL sutazai.tests=1 org.opencontainers.image.title="qdrant simulator, for tests only"
USER 0:0
RUN install -d -o 1000 -g 1000 /qdrant/storage /qdrant/snapshots
COPY . /simulator/tests/simulators/
ENV PYTHONPATH=/simulator
USER 1000:1000
EXPOSE 6333
ENTRYPOINT ["python", "-m", "tests.simulators.qdrant"]
CMD []
"""


def qdrant_image() -> str:
    """Build the image of the Qdrant simulator, in a second when it is as it was; its name.

    Raises:
        subprocess.CalledProcessError: The base image is not there.
    """
    context = io.BytesIO()
    files = {path.name: path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))}
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in {"Dockerfile": DOCKERFILE.encode(), **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    command = ["docker", "build", "--quiet", "--tag", QDRANT, "-"]
    subprocess.run(command, input=context.getvalue(), capture_output=True, check=True)
    return QDRANT


def remove_images() -> None:
    """Remove what was built here; nothing happens when it is not there, or in use."""
    subprocess.run(["docker", "image", "rm", QDRANT], capture_output=True, check=False)
