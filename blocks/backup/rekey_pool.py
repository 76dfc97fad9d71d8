"""The blobs of one component, encrypted anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from blocks.backup.identities import Identities
from blocks.backup.pool import PoolWriter
from blocks.backup.pool_blobs import filed_of, lines_of
from blocks.backup.pool_set import PoolSet
from blocks.backup.reader import decoded, read_stored
from blocks.backup.shelf import Shelf
from blocks.backup.source import Source
from blocks.backup.writer import BackupWriter
from compose.stack.backup.layout import checked_blob_key, pool_prefix
from compose.stack.backup.listing import Blob, Filed, parse_blob
from compose.stack.backup.manifest import ComponentRecord, Digest, Manifest, PoolRecord
from compose.stack.errors import Failed


class RekeyedPool:
    """Reads a component's blobs with a key, and puts them into the pool of the new recipients.

    Args:
        pool: Writes to the new recipients.
    """

    def __init__(
        self,
        shelf: Shelf,
        manifest: Manifest,
        component: ComponentRecord,
        pool: PoolWriter,
        identities: Identities,
    ) -> None:
        self._shelf, self._manifest, self._component = shelf, manifest, component
        self._pool, self._identities = pool, identities

    def written(self, writer: BackupWriter, name: str) -> PoolRecord:
        """The component's pool after both lists were written.

        Args:
            name: Directory of the lists.
        """
        pooled, blobs = PoolSet(self._pool, writer, name), self._blobs()
        for filed in filed_of(self._shelf.target, self._manifest, self._component, self._identities):
            if filed.blob is None:
                pooled.note(filed)
                continue
            blob = blobs.get(filed.blob)
            if blob is None:
                raise Failed(f"the list of blobs lacks {filed.blob}", where=self._manifest.id)
            _, encodings = checked_blob_key(blob.key)
            pooled.add(self._source(filed, blob), filed, compress="zstd" in encodings)
        return pooled.finish()

    def _blobs(self) -> dict[str, Blob]:
        record = self._component.pool
        lines = lines_of(self._shelf.target, self._manifest, record.blobs) if record else ()
        return {blob.key: blob for blob in map(parse_blob, lines)}

    def _source(self, filed: Filed, blob: Blob) -> Source:
        address, _ = checked_blob_key(blob.key)
        known = filed.sha256 == address
        return Source(
            name=blob.key, size=filed.size, open=self._opener(filed, blob),
            sha256=address if known else "", address="" if known else address,
        )  # fmt: skip

    def _opener(self, filed: Filed, blob: Blob) -> Callable[[], Iterator[bytes]]:
        target, where = self._shelf.target, f"{self._shelf.target.name}: pool/{blob.key}"
        _, encodings = checked_blob_key(blob.key)
        plain = Digest(sha256=filed.sha256 or "", bytes=filed.size)

        def read() -> Iterator[bytes]:
            stored = read_stored(target, pool_prefix(self._shelf.stack_id) + blob.key, blob.stored, where=where)
            return decoded(stored, encodings, plain, self._identities, where=where)

        return read
