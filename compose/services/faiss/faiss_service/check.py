"""Proves that the service works: an index of its own is made, filled, searched and removed."""

import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any

NAME = "ops-verification"


def call(method: str, path: str, body: Any = None) -> Any:
    """Ask the service in this container; the body of its answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{os.environ.get('PORT') or 8000}{path}",
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('API_TOKEN', '')}"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def main() -> int:
    """Run the round trip; exit code 1, with the reason, when any step of it fails."""
    try:
        call("POST", "/create_index", {"index": NAME, "dimension": 2})
        call("POST", "/add_vectors", {"index": NAME, "vectors": [[1, 0], [0, 1]], "ids": [7, 8]})
        found = call("POST", "/search", {"index": NAME, "vectors": [[0.1, 0.9]], "k": 1})["results"]
        call("DELETE", f"/indexes/{NAME}")
    except (OSError, ValueError, KeyError) as error:
        reason = error.read().decode()[:200] if isinstance(error, urllib.error.HTTPError) else ""
        print(f"{error} {reason}", file=sys.stderr)
        return 1
    if [one["id"] for one in found[0]] != [8]:
        print(f"the nearest of two vectors was not found: {found}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
