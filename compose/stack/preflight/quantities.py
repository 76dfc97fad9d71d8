"""Sizes as Compose and Redis write them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*")
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def size(text: object) -> int | None:
    """Bytes of a Compose size (`512m`, `1gb`, `1073741824`; powers of 1024); None when it is none."""
    found = _SIZE.fullmatch(str(text))
    if not found:
        return None
    unit = found[2].lower().removesuffix("ib").removesuffix("b") if len(found[2]) > 1 else found[2].lower()
    return int(float(found[1]) * 1024 ** _POWERS[unit]) if unit in _POWERS else None


def redis_size(text: object) -> int | None:
    """Bytes of a Redis size: `512mb` counts in 1024, `512m` in 1000 (redis.conf)."""
    found = _SIZE.fullmatch(str(text))
    if not found:
        return None
    unit = found[2].lower()
    power = _POWERS.get(unit[:1])
    if power is None or unit[1:] not in ("", "b"):
        return None
    return int(float(found[1]) * (1024 if unit.endswith("b") and len(unit) > 1 else 1000) ** power)


def number(text: object) -> float | None:
    """A count of CPUs; None when it is no number."""
    try:
        return float(str(text))
    except ValueError:
        return None


def human(count: float) -> str:
    """Bytes as people read them: `512 MiB`, `1.5 GiB`."""
    amount, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    unit = 0
    while amount >= 1024 and unit < len(units) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f}".removesuffix(".0") + f" {units[unit]}"
