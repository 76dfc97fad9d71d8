"""One encoded object to several targets at once; and small ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from blocks.backup.streams import Encoder
from blocks.targets.base import Target, Upload
from blocks.targets.fanout import FanOut
from compose.stack.backup.manifest import Digest, Encoding
from compose.stack.errors import Failed, OpsError


@dataclass
class Delivery:
    """What became of one object.

    Args:
        write: Takes plain bytes.
        plain: After the end; `stored` too.
        errors: What failed, by target.
    """

    write: Callable[[bytes | memoryview], None]
    plain: Digest | None = None
    stored: Digest | None = None
    errors: dict[str, OpsError] = field(default_factory=dict)

    @property
    def digests(self) -> tuple[Digest, Digest]:
        """Plain and stored, after the end."""
        if self.plain is None or self.stored is None:
            raise Failed("it was not written to its end")
        return self.plain, self.stored


@contextmanager
def deliver(
    targets: Mapping[str, Target],
    key: str,
    encodings: tuple[Encoding, ...],
    recipients: tuple[str, ...] = (),
    estimate: int = 0,
    check: Callable[[Digest], None] = lambda _: None,
) -> Iterator[Delivery]:
    """Write one object to every target; nothing of it is visible anywhere when the block raises.

    Args:
        targets: By name; at least one.
        check: Looks at what went in before it becomes visible.

    Raises:
        Failed: Every target failed.
    """
    fan, early = _begun(targets, key, estimate)
    encoder = Encoder(fan.write, encodings, recipients, estimate)
    delivery = Delivery(encoder.write)
    try:
        yield delivery
        delivery.plain, delivery.stored = encoder.end()
        check(delivery.plain)
        outcome = fan.commit()
    except BaseException:
        encoder.abort()
        fan.abort()
        raise
    delivery.errors.update(early)
    delivery.errors.update({name: error for name, error in outcome.items() if error is not None})


def _begun(targets: Mapping[str, Target], key: str, estimate: int) -> tuple[FanOut, dict[str, OpsError]]:
    uploads: dict[str, Upload] = {}
    errors: dict[str, OpsError] = {}
    for name, target in targets.items():
        try:
            uploads[name] = target.begin(key, estimate)
        except OpsError as error:
            errors[name] = error
    if not uploads:
        said = "; ".join(f"{name}: {error}" for name, error in errors.items())
        raise Failed(f"no target takes it: {said}", where=key, next="see that one answers, then the same again")
    return FanOut(uploads), errors


def put_everywhere(targets: Mapping[str, Target], key: str, data: bytes) -> dict[str, OpsError]:
    """Write a small object to every target; what failed, by target."""
    errors = {}
    for name, target in targets.items():
        try:
            target.put(key, data)
        except OpsError as error:
            errors[name] = error
    return errors
