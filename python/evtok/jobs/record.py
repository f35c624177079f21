"""The record of a shard: a small JSON document, written after the shard, that proves it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from evtok.errors import JobError, ShardError
from evtok.jobs.documents import seal, unseal
from evtok.jobs.fields import HASH, SHORT_HASH, Fields, integer, one_of, text

RECORD_FORMAT = 1


@dataclass(frozen=True)
class Segment:
    """A range of bytes of a file and their xxh3_128."""

    offset: int
    size: int
    xxh3_128: str


@dataclass(frozen=True)
class BatchRecord:
    """One record batch: what it holds, and which bytes of the file it lies in."""

    events: int
    ids: int
    segment: Segment


@dataclass(frozen=True)
class Counts:
    """Where the events of a range went; weights are sums of the field ``weight``, None without one.

    What could not be read has no known weight: it is counted, and adds nothing to `weight_read`.

    Of the events that were written, `unknown` ids are those of objects or values that the vocabulary does not
    hold (``unk``), `truncated_objects` were dropped from the `truncated_events` that were too long, and
    `cut_objects` lay outside the limits of the features. Where scores are written, they are those of what the detector
    reads: tokens, or objects, of which those of unknown type are counted as `unknown`.
    """

    read: int = 0
    written: int = 0
    filtered: int = 0
    quarantined: int = 0
    weight_read: float | None = None
    weight_written: float | None = None
    unknown: int = 0
    truncated_events: int = 0
    truncated_objects: int = 0
    cut_objects: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.read + other.read,
            self.written + other.written,
            self.filtered + other.filtered,
            self.quarantined + other.quarantined,
            _sum(self.weight_read, other.weight_read),
            _sum(self.weight_written, other.weight_written),
            self.unknown + other.unknown,
            self.truncated_events + other.truncated_events,
            self.truncated_objects + other.truncated_objects,
            self.cut_objects + other.cut_objects,
        )

    def check(self, expected: int, name: str) -> None:
        """Refuse an account that does not add up to the `expected` events of the input."""
        if self.read != expected or self.read != self.written + self.filtered + self.quarantined:
            raise JobError(
                f"{name}: the events do not add up: {expected} expected, {self.read} read, {self.written} "
                "written, "
                f"{self.filtered} filtered, {self.quarantined} quarantined; did the file change while it "
                "was read?"
            )

    def to_json(self) -> dict[str, Any]:
        """Return an object; sums that are not finite become text, which JSON can hold.

        `cut_objects` is there only if any were: evtok 0.1.0 did not know it.
        """
        return {
            key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
            if key != "cut_objects" or value
        }

    @classmethod
    def from_json(cls, content: Any, name: str) -> Self:
        """Read what `to_json` returned."""
        keys = [field.name for field in fields(cls)]
        if isinstance(content, dict):
            content = {"cut_objects": 0, **content}
        found = Fields(content, keys, f"{name}: counts")
        weights = ("weight_read", "weight_written")
        values: dict[str, Any] = {key: found.integer(key) for key in keys if key not in weights}
        values |= {key: _weight(found[key], found.where(key)) for key in weights}
        return cls(**values)


@dataclass(frozen=True)
class ShardRecord:
    """What is known of one shard.

    `plan` is the digest of the plan that it belongs to, and `source` that of the very file that it was made from
    (`PlannedInput.source`): plans are equal for inputs of equal sizes, shards are not.
    """

    plan: str
    index: int
    file: int
    start: int
    stop: int
    name: str
    size: int
    sha256: str
    content: str
    fingerprint: str
    source: str
    ids: int
    counts: Counts
    batches: tuple[BatchRecord, ...]
    end: Segment
    quarantine_sha256: str | None  # of the quarantine file of the range, None when nothing was quarantined

    def to_bytes(self) -> bytes:
        """Write the document."""
        batches = [
            [b.events, b.ids, b.segment.offset, b.segment.size, b.segment.xxh3_128] for b in self.batches
        ]
        content = {
            **asdict(self),
            "counts": self.counts.to_json(),
            "batches": batches,
            "format": RECORD_FORMAT,
        }
        return seal(content)

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Self:
        """Read the document.

        Raises
        ------
        ShardError
            Altered, of another format, or not a record.
        """
        content = unseal(data, name)
        if content.get("format") != RECORD_FORMAT:
            raise ShardError(
                f"{name}: format {content.get('format')!r}; this evtok reads format {RECORD_FORMAT}"
            )
        found = Fields(content, [field.name for field in fields(cls)] + ["format"], name)
        source = found["source"]
        record = cls(
            plan=found.text("plan", HASH),
            index=found.integer("index"),
            file=found.integer("file"),
            start=found.integer("start"),
            stop=found.integer("stop"),
            name=found.text("name"),
            size=found.integer("size"),
            sha256=found.text("sha256", HASH),
            content=found.text("content", HASH),
            fingerprint=found.text("fingerprint", HASH),
            source="" if source == "" else found.text("source", HASH),
            ids=found.integer("ids"),
            counts=Counts.from_json(found["counts"], name),
            batches=tuple(_batch(row, found.where("batches")) for row in found.rows("batches", 5)),
            end=_segment([Fields(found["end"], _SEGMENT, name)[key] for key in _SEGMENT], name),
            quarantine_sha256=found.optional_text("quarantine_sha256", HASH),
        )
        record._check(name)
        return record

    def _check(self, name: str) -> None:
        """Refuse batches that do not add up to the shard, or lie elsewhere than one after the other."""
        position = 0
        for segment in (*(batch.segment for batch in self.batches), self.end):
            if segment.offset != position:
                raise ShardError(
                    f"{name}: a batch begins at {segment.offset}, the one before ends at {position}"
                )
            position += segment.size
        sums = (sum(b.events for b in self.batches), sum(b.ids for b in self.batches), position)
        if sums != (self.counts.written, self.ids, self.size):
            raise ShardError(
                f"{name}: its batches hold {sums} events, ids and bytes, which it does not state"
            )


_SEGMENT = tuple(field.name for field in fields(Segment))


def _batch(row: list[Any], name: str) -> BatchRecord:
    return BatchRecord(integer(row[0], name, 1), integer(row[1], name), _segment(row[2:], name))


def _segment(row: list[Any], name: str) -> Segment:
    return Segment(integer(row[0], name), integer(row[1], name), text(row[2], name, SHORT_HASH))


def _weight(value: Any, name: str) -> float | None:
    if value is None or isinstance(value, float):
        return value
    return float(one_of(value, ("nan", "inf", "-inf"), name))


def _sum(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b
