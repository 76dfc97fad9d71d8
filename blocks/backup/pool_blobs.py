"""The lists of blobs and files that backups carry."""

from __future__ import annotations

from collections.abc import Iterator

from blocks.backup.identities import NOBODY, Identities
from blocks.backup.reader import read_file
from blocks.targets.base import Target
from compose.stack.backup.listing import LONGEST, Blob, Filed, parse_blob, parse_filed
from compose.stack.backup.manifest import ComponentRecord, FileRecord, Manifest
from compose.stack.errors import Refused


def blobs_of(target: Target, manifest: Manifest) -> Iterator[Blob]:
    """Every blob that a backup names; its components' lists one after the other.

    Raises:
        Damaged: A list is missing, or was changed.
        Refused: A list is not as it should be.
    """
    for component in manifest.components:
        if component.pool:
            for line in lines_of(target, manifest, component.pool.blobs):
                yield parse_blob(line)


def filed_of(
    target: Target, manifest: Manifest, component: ComponentRecord, identities: Identities = NOBODY
) -> Iterator[Filed]:
    """Every file of a component that lies in the pool.

    Raises:
        Damaged: The list is missing, or was changed.
        Refused: It is not as it should be, or encrypted and there is no key.
    """
    if component.pool:
        for line in lines_of(target, manifest, component.pool.listing, identities):
            yield parse_filed(line)


def lines_of(
    target: Target, manifest: Manifest, record: FileRecord, identities: Identities = NOBODY
) -> Iterator[bytes]:
    """The lines of a file of a backup.

    Raises:
        Refused: One is too long.
    """
    rest = b""
    for chunk in read_file(target, manifest.stack_id, manifest.id, record, identities):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST:
            raise Refused("has a line that is too long", where=record.path, next="do not use it")
        yield from lines
    if rest:
        yield rest
