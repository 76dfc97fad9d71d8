"""Redis' RDB format (versions to 12), read as far as counting needs: keys and expiries per database.

Source: rdb.h and rdb.c of Redis 7.2 and 7.4. Values are skipped, not decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from compose.stack.errors import Damaged

NEWEST = 12
MODULE_AUX, IDLE, FREQ, AUX, RESIZE, EXPIRE_MS, EXPIRE_S, SELECT, END = 247, 248, 249, 250, 251, 252, 253, 254, 255
FUNCTION, FUNCTION_OLD, SLOT_INFO = 245, 246, 244
Read = Callable[[int], bytes]
"""Gives exactly so many bytes; fewer only at the end."""

ONE_STRING = {0, 9, 10, 11, 12, 13, 16, 17, 20}
"""Strings, and all that is packed into one: zipmap, ziplists, intset, listpacks."""

STRINGS_PER_ITEM = {1: 1, 2: 1, 4: 2, 14: 1}
"""List, set, hash, quicklist."""

STREAMS = {15: 1, 19: 2, 21: 3}
"""Streams by the version of their format."""


@dataclass
class Count:
    """One database's keys."""

    keys: int = 0
    expires: int = 0


@dataclass
class Contents:
    """What an RDB says and holds.

    Args:
        counted: False when a type is in it that this reader does not know: the counts end there.
    """

    version: int = 0
    aux: dict[str, str] = field(default_factory=dict)
    databases: dict[int, Count] = field(default_factory=dict)
    functions: int = 0
    counted: bool = True
    unknown: str = ""


class _Unknown(Exception):
    pass


class _Reader:
    def __init__(self, read: Read) -> None:
        self._read = read

    def take(self, size: int) -> bytes:
        data = self._read(size)
        if len(data) != size:
            raise Damaged("it is cut short", where="RDB")
        return data

    def skip(self, size: int) -> None:
        while size:
            part = min(size, 1 << 20)
            self.take(part)
            size -= part

    def length(self) -> tuple[int, bool]:
        """A length, and whether it is a special encoding instead."""
        first = self.take(1)[0]
        kind = first >> 6
        if kind == 0:
            return first & 63, False
        if kind == 1:
            return (first & 63) << 8 | self.take(1)[0], False
        if kind == 3:
            return first & 63, True
        if first == 0x80:
            return int.from_bytes(self.take(4), "big"), False
        if first == 0x81:
            return int.from_bytes(self.take(8), "big"), False
        raise Damaged(f"a length begins with {first:#x}", where="RDB")

    def number(self) -> int:
        found, special = self.length()
        if special:
            raise Damaged("an encoding where a number belongs", where="RDB")
        return found

    def string(self, *, keep: bool = False) -> bytes:
        size, special = self.length()
        if not special:
            if keep:
                return self.take(size)
            self.skip(size)
            return b""
        if size in (0, 1, 2):
            return str(int.from_bytes(self.take(1 << size), "little", signed=True)).encode()
        if size == 3:
            packed, _ = self.number(), self.number()
            self.skip(packed)
            return b""
        raise Damaged(f"a string is encoded as {size}", where="RDB")

    def value(self, kind: int) -> None:
        """Skip a value."""
        if kind in ONE_STRING:
            self.string()
        elif kind in STRINGS_PER_ITEM:
            for _ in range(self.number() * STRINGS_PER_ITEM[kind]):
                self.string()
        elif kind == 3:
            for _ in range(self.number()):
                self.string()
                size = self.take(1)[0]
                self.skip(0 if size >= 253 else size)
        elif kind == 5:
            for _ in range(self.number()):
                self.string()
                self.skip(8)
        elif kind == 18:
            for _ in range(self.number()):
                self.number()
                self.string()
        elif kind == 7:
            self.number()
            self.module()
        elif kind in STREAMS:
            self.stream(STREAMS[kind])
        elif kind in (22, 24):
            self.hash_with_expiries(minimum=kind == 24)
        elif kind in (23, 25):
            self.skip(8 if kind == 25 else 0)
            self.string()
        else:
            raise _Unknown(f"type {kind}")

    def hash_with_expiries(self, *, minimum: bool) -> None:
        self.skip(8 if minimum else 0)
        for _ in range(self.number()):
            self.number()
            self.string()
            self.string()

    def module(self) -> None:
        while opcode := self.number():
            if opcode in (1, 2):
                self.number()
            elif opcode in (3, 4):
                self.skip(4 if opcode == 3 else 8)
            elif opcode == 5:
                self.string()
            else:
                raise _Unknown(f"module opcode {opcode}")

    def stream(self, version: int) -> None:
        for _ in range(self.number()):
            self.string()
            self.string()
        for _ in range(3 if version == 1 else 8):
            self.number()
        for _ in range(self.number()):
            self.string()
            for _ in range(2 if version == 1 else 3):
                self.number()
            for _ in range(self.number()):
                self.skip(16 + 8)
                self.number()
            for _ in range(self.number()):
                self.string()
                self.skip(8 if version < 3 else 16)
                self.skip(16 * self.number())


def contents(read: Read) -> Contents:
    """Read an RDB and count what is in it.

    Args:
        read: Gives exactly as many bytes as it is asked for.

    Raises:
        Damaged: It is no RDB, or is damaged where its structure shows that.
    """
    reader, found = _Reader(read), Contents()
    head = reader.take(9)
    if head[:5] != b"REDIS" or not head[5:].isdigit():
        raise Damaged("it does not begin as an RDB does", where="RDB")
    found.version = int(head[5:])
    try:
        if found.version > NEWEST:
            raise _Unknown(f"version {found.version}")
        _entries(reader, found)
    except _Unknown as error:
        found.counted, found.unknown = False, str(error)
    return found


def _entries(reader: _Reader, found: Contents) -> None:
    database, expires = 0, False
    while (opcode := reader.take(1)[0]) != END:
        if opcode == AUX:
            name, value = reader.string(keep=True), reader.string(keep=True)
            found.aux[name.decode(errors="replace")] = value.decode(errors="replace")
        elif opcode == SELECT:
            database = reader.number()
        elif opcode == RESIZE:
            reader.number(), reader.number()
        elif opcode == SLOT_INFO:
            reader.number(), reader.number(), reader.number()
        elif opcode in (EXPIRE_MS, EXPIRE_S):
            reader.skip(8 if opcode == EXPIRE_MS else 4)
            expires = True
        elif opcode == IDLE:
            reader.number()
        elif opcode == FREQ:
            reader.skip(1)
        elif opcode == FUNCTION:
            reader.string()
            found.functions += 1
        elif opcode == MODULE_AUX:
            reader.number(), reader.number(), reader.number()
            reader.module()
        elif opcode == FUNCTION_OLD:
            raise _Unknown("functions of a release candidate")
        else:
            reader.string()
            reader.value(opcode)
            count = found.databases.setdefault(database, Count())
            count.keys += 1
            count.expires += expires
            expires = False
    reader.skip(8 if found.version >= 5 else 0)
