"""A part of a fit as a small JSON document: a range of one file, and what is to be counted there.

A tokenizer's edges follow from order statistics, which are found by counting bit patterns in passes over the data
(`evtok.tokenizers.order_statistics`). Every pass is a sum over events, so a range of a file can be counted anywhere,
any number of times: counts are integers, and their sums do not depend on who counted what, or when. The combinations
seen, where the vocabulary is of these, are a union, for which the same holds.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from evtok.errors import ArtefactError, ShardError
from evtok.io import Schema
from evtok.io.paths import Location
from evtok.jobs import versions
from evtok.jobs.documents import canonical, seal, unseal
from evtok.jobs.fields import HASH, Fields, integer, one_of, refuse, rows, text
from evtok.jobs.plan import PlannedInput, read_input
from evtok.jobs.task_document import place_of, schema_of
from evtok.tokenizers import binned_config
from evtok.tokenizers.feature import Feature, FittedFeature
from evtok.tokenizers.order_statistics import MAX_TABLES

FIT_FORMAT = 1
_KEYS = (
    *("fit_format", "index", "attempt", "start", "stop", "input", "base", "schema", "schema_digest"),
    *("versions", "threads", "types", "features", "seen"),
)
_OF_FEATURE = ("name", "of_event", "config", "dtype", "depth", "prefixes")
#: Of what writes shards, only these decide counts.
VERSIONS = ("evtok", "numerics")


@dataclass(frozen=True)
class CountedFeature:
    """A feature of whose values the bit patterns are counted: the next 16 bits below each of some prefixes.

    Attributes
    ----------
    name : str
    of_event : bool
        Whether its values are of events rather than of objects.
    feature : Feature
    dtype : str
        "float32" or "float64": that of all values.
    depth : int
        How many times 16 bits the prefixes have.
    prefixes : tuple of int
    """

    name: str
    of_event: bool
    feature: Feature
    dtype: str
    depth: int
    prefixes: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        prefixes = list(self.prefixes)
        config = self.feature.to_config()
        return {
            "name": self.name,
            "of_event": self.of_event,
            "config": json.dumps(config),
            "dtype": self.dtype,
            "depth": self.depth,
            "prefixes": prefixes,
        }

    @classmethod
    def from_json(cls, content: Any, name: str) -> Self:
        """Read it, trusting nothing; raises `ShardError`."""
        found = Fields(content, _OF_FEATURE, name)
        dtype = one_of(found["dtype"], ("float32", "float64"), found.where("dtype"))
        depth = found.integer("depth", 0, np.dtype(dtype).itemsize // 2 - 1)
        prefixes = found.rows("prefixes")
        if not 1 <= len(prefixes) <= MAX_TABLES:
            raise refuse(found.where("prefixes"), f"1 to {MAX_TABLES} of them", len(prefixes))
        for prefix in prefixes:
            integer(prefix, found.where("prefixes"), 0, (1 << 16 * depth) - 1)
        if prefixes != sorted(set(prefixes)):
            raise refuse(found.where("prefixes"), "increasing numbers", prefixes)
        try:
            feature = Feature.from_config(json.loads(found.text("config")), found.where("config"))
        except (ArtefactError, ValueError, RecursionError) as error:
            raise ShardError(f"{found.where('config')}: {error}") from error
        return cls(found.text("name"), found.boolean("of_event"), feature, dtype, depth, tuple(prefixes))


@dataclass(frozen=True)
class FitDocument:
    """One range of one file.

    Attributes
    ----------
    index, attempt, start, stop : int
    input : PlannedInput
    base, schema, schema_digest : str
        As `evtok.jobs.task_document.TaskDocument` has them.
    versions : mapping
        Of evtok and its numerics.
    threads : int
    types : mapping of str to int
        What the codes of types mean, for events that do not name them.
    features : tuple of CountedFeature
        To be counted; () when combinations are looked for.
    seen : str or None
        JSON of the artefact whose combinations are looked for, see `seen_document`.
    """

    index: int
    attempt: int
    start: int
    stop: int
    input: PlannedInput
    base: str
    schema: str
    schema_digest: str
    versions: Mapping[str, Any]
    threads: int
    types: Mapping[str, int]
    features: tuple[CountedFeature, ...] = ()
    seen: str | None = None

    def to_bytes(self) -> bytes:
        """Write the document."""
        content = {key: getattr(self, key) for key in _KEYS if key != "fit_format"}
        content |= {
            "fit_format": FIT_FORMAT,
            "input": asdict(self.input),
            "versions": dict(self.versions),
            "types": dict(self.types),
            "features": [feature.to_json() for feature in self.features],
        }
        return seal(content)

    @classmethod
    def from_bytes(cls, document: bytes | Mapping[str, Any], name: str = "fit") -> Self:
        """Read a document, or the object that is in it; raises `ShardError`."""
        content = unseal(document if isinstance(document, bytes) else canonical(document), name)
        if content.get("fit_format") != FIT_FORMAT:
            raise ShardError(
                f"{name}: format {content.get('fit_format')!r:.80}; this evtok reads format {FIT_FORMAT}"
            )
        found = Fields(content, _KEYS, name)
        versions_ = Fields(found["versions"], VERSIONS, found.where("versions"))
        types = found["types"]
        if not isinstance(types, dict):
            raise refuse(found.where("types"), "an object", types)
        features = found.rows("features")
        one = cls(
            index=found.integer("index"),
            attempt=found.integer("attempt", 1),
            start=found.integer("start"),
            stop=found.integer("stop", found.integer("start") + 1),
            input=read_input(found["input"], found.where("input")),
            base=found.text("base"),
            schema=found.text("schema"),
            schema_digest=found.text("schema_digest", HASH),
            versions={"evtok": versions_.text("evtok"), "numerics": versions_.integer("numerics")},
            threads=found.integer("threads", 1, 1 << 16),
            types={key: integer(code, found.where("types")) for key, code in types.items()},
            features=tuple(CountedFeature.from_json(row, found.where("features")) for row in features),
            seen=found.optional_text("seen"),
        )
        if one.stop > one.input.n_events:
            raise refuse(name, f"a range of the {one.input.n_events} events", one.stop)
        return one

    def location(self) -> Location:
        """Return where the input lies for a process that works in any folder."""
        return place_of(self.input, self.base)

    def read_schema(self) -> Schema:
        """Return the schema that the input is read with; raises `SchemaError`."""
        return schema_of(self.schema)


def is_fit(document: bytes | Mapping[str, Any]) -> bool:
    """Whether a document is one of these rather than a task; what is neither is left to those who read tasks."""
    if isinstance(document, bytes):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError):
            return False
    return isinstance(document, Mapping) and "fit_format" in document


def versions_here() -> dict[str, Any]:
    """Return the versions of this process that decide counts."""
    here = versions.here()
    return {key: here[key] for key in VERSIONS}


# ---- what is looked for, and what was found ------------------------------------------------------------------------


def seen_document(
    settings: binned_config.Settings, fitted: Mapping[str, FittedFeature], on_invalid: str
) -> str:
    """Return the text for `FitDocument.seen`."""
    config, tensors = binned_config.to_artefact(settings, fitted, None)
    arrays = {name: [str(values.dtype), pack(values)] for name, values in tensors.items()}
    return json.dumps(
        {"config": {**config, "vocabulary": "dense"}, "tensors": arrays, "on_invalid": on_invalid}
    )


def read_seen(document: str) -> tuple[binned_config.Settings, dict[str, FittedFeature], str]:
    """Read it, trusting nothing; raises `ShardError` or `ArtefactError`."""
    name = "fit: seen"
    try:
        content = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{name}: not JSON ({error})") from error
    found = Fields(content, ("config", "tensors", "on_invalid"), name)
    tensors, config = found["tensors"], found["config"]
    if not isinstance(tensors, dict) or not isinstance(config, dict):
        raise refuse(name, "objects", tensors)
    arrays = {}
    for key, row in tensors.items():
        dtype, data = rows([row], name, 2)[0]
        arrays[key] = unpack(data, one_of(dtype, ("float32", "float64"), name), 1 << 24, name)
    settings, fitted, _ = binned_config.from_artefact(config, arrays)
    return settings, fitted, one_of(found["on_invalid"], ("raise", "skip"), name)


def pack(values: npt.NDArray[Any]) -> str:
    """Write an array (k,) as text, compressed."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes(), 1)).decode("ascii")


def unpack(data: Any, dtype: str, most: int, name: str) -> npt.NDArray[Any]:
    """Read what `pack` wrote, of at most so many numbers; raises `ShardError`."""
    size = np.dtype(dtype).itemsize
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(base64.b64decode(text(data, name), validate=True), most * size + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ShardError(f"{name}: not an array that evtok packed ({error})") from error
    if len(raw) > most * size or len(raw) % size or not inflate.eof or inflate.unused_data:
        raise refuse(name, f"at most {most} whole numbers of {size} bytes", len(raw))
    return np.frombuffer(raw, dtype)
