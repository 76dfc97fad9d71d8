"""Where a store says that its data lies is on a mount of its container, or the backup fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from compose.stack.backup.component import Component, Kind, Manner, Place
from compose.stack.errors import Failed
from tasks.backup.data_place import places_with

DATA = Place("anonymous", "a" * 64, "/data", "id", "cache")
REAL = Place("volume", "shop_r", "/var/lib/redis", "id", "cache")


def saving(*places: Place) -> Any:
    return SimpleNamespace(component=Component("cache", Kind.REDIS, Manner.ONLINE, ("cache",), places))


def test_the_images_own_volume_is_not_the_only_one() -> None:
    """The server was told to write into another one: that is where it lies."""
    assert places_with(saving(DATA), (DATA, REAL), "/var/lib/redis/6") == (DATA, REAL)
    assert places_with(saving(DATA), (DATA, REAL), "/data") == (DATA,)


def test_data_on_no_volume_fails() -> None:
    """With the volumes that there are."""
    with pytest.raises(Failed, match=r"in /elsewhere, on no volume \(mounted: /data, /var/lib/redis\)"):
        places_with(saving(DATA), (DATA, REAL), "/elsewhere")


def test_a_store_without_places_is_not_judged() -> None:
    """It was asked for by name alone."""
    assert places_with(saving(), (), "/elsewhere") == ()
