"""The services are programs of their own, each with its folder as root: make their packages importable."""

import sys
from pathlib import Path

SERVICES = Path(__file__).parents[3] / "compose" / "services"
for service in ("backend-agi", "faiss", "frontend-agi", "model-init", "task-coordinator"):
    sys.path.append(str(SERVICES / service))
