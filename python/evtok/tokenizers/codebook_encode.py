"""Encoding and decoding with a codebook: objects to vectors, vectors to codes, codes to ids, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _backend, _core
from evtok.errors import InvalidEventsError
from evtok.events import TYPE_COLUMN, Events
from evtok.tokenizers import encoding, event_features
from evtok.tokenizers.binned_decode import decoded_names, event_fields
from evtok.tokenizers.codebook_config import Fitted
from evtok.tokenizers.codebook_features import CUT, INVALID, KEPT, UNKNOWN
from evtok.tokenizers.feature_network import FeatureNetwork
from evtok.tokenizers.sequence import around_objects, find_objects
from evtok.tokens import EncodeReport, Tokens

if TYPE_CHECKING:
    import awkward as ak

    from evtok.tokenizers.codebook import CodebookTokenizer

# Objects whose vectors are in memory at a time.
_BLOCK = 1 << 18

_INVALID_DIGIT = -1
_CUT_DIGIT = -2


@dataclass(frozen=True)
class _Found:
    """Codes of the objects that are not cut.

    Attributes
    ----------
    offsets : int64 (n_events + 1,)
    digits : int32 (n_kept,)
        The code of each object; -1 for an invalid one, the number of codes for one of unknown type.
    rows : int64 (n_kept,) or None
        Where they are among all objects; None when nothing is cut.
    """

    offsets: npt.NDArray[np.int64]
    digits: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int64] | None


def encode(
    tokenizer: CodebookTokenizer,
    given: Events | ak.Array,
    on_invalid: str,
    threads: int,
    dtype: np.dtype[Any],
    out: npt.NDArray[Any] | None,
) -> Tokens:
    """Encode the events `given`; see `CodebookTokenizer.encode`."""
    events = encoding.events_of(tokenizer, given)
    settings, vocabulary = tokenizer.settings, tokenizer.vocabulary
    encoding.check_arguments(on_invalid, dtype, vocabulary.size)
    encoding.check_out(out, dtype, events)
    special_ids = vocabulary.special_ids
    of_event = event_features.encode(
        tokenizer.fitted.event_features, events, settings.type_codes, vocabulary, on_invalid, threads
    )
    found = _find(tokenizer.fitted, events, threads)

    program = _core.RowProgram(len(found.digits))
    program.set_offsets(found.offsets)
    program.add_digits(found.digits, vocabulary.n_objects, 0)
    program.set_vocabulary(False, vocabulary.object_base, special_ids.get("unk", -1))
    entries: dict[str, Any] = {**special_ids, **of_event.ids}
    before, after = around_objects(settings.sequence)
    run: Any = program.sequences_uint16 if dtype == np.uint16 else program.sequences_int32
    offsets, ids, counts = run(
        [entries[name] for name in before],
        [entries[name] for name in after],
        _sort_column(settings.sort_by, events, found.rows),
        encoding.max_objects(
            settings.max_length,
            settings.too_long,
            len(before) + len(after),
            1,
            lambda: np.diff(found.offsets),
        ),
        threads,
        out,
    )
    if counts["invalid"] and on_invalid == "raise":
        row = int(counts["first_invalid"])
        _raise_invalid(
            tokenizer, events, row if found.rows is None else int(found.rows[row]), counts["invalid"]
        )
    _backend.used_native()
    return Tokens._trusted(
        ids,
        offsets,
        fingerprint=tokenizer.fingerprint,
        vocab_size=vocabulary.size,
        pad_id=special_ids.get("pad", -1),
        report=EncodeReport(
            n_events=len(events),
            n_objects=events.n_objects,
            invalid=counts["invalid"],
            unknown=counts["unknown"],
            invalid_event_tokens=of_event.invalid,
            unknown_event_tokens=of_event.unknown,
            truncated_events=counts["truncated_events"],
            truncated_objects=counts["truncated_objects"],
            cut_objects=events.n_objects - len(found.digits),
        ),
    )


def _find(fitted: Fitted, events: Events, threads: int) -> _Found:
    program = fitted.vectors.program(events)
    digits = _arrays.result(events.n_objects, np.int32)
    cut = False
    for begin in range(0, events.n_objects, _BLOCK):
        end = min(begin + _BLOCK, events.n_objects)
        vectors, states = fitted.vectors(program, begin, end, threads)
        if not states.any():
            digits[begin:end] = _codes(fitted, vectors, threads)
            continue
        kept = states == KEPT
        block = digits[begin:end]
        block[kept] = _codes(fitted, vectors[kept], threads)
        block[states == UNKNOWN] = fitted.codebook.n_codes
        block[states == INVALID] = _INVALID_DIGIT
        block[states == CUT] = _CUT_DIGIT
        cut = cut or bool((states == CUT).any())
    if not cut:
        return _Found(events.offsets, digits, None)
    stays = digits != _CUT_DIGIT
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(stays, dtype=np.int64)])
    return _Found(before[events.offsets], digits[stays], np.flatnonzero(stays))


def _codes(fitted: Fitted, vectors: npt.NDArray[np.float32], threads: int) -> npt.NDArray[np.int32]:
    """Return the code of each vector (n,), -1 where the network or the distances overflow."""
    codes: npt.NDArray[np.int32] = fitted.codebook.nearest(
        latents(fitted.network, vectors, threads), on_invalid="sentinel", threads=threads or None
    )
    return codes


def latents(
    network: FeatureNetwork | None, vectors: npt.NDArray[np.float32], threads: int
) -> npt.NDArray[np.float32]:
    """Return what is looked up in the codebook (n, D): the vectors, or the outputs of the network on them."""
    return vectors if network is None else network(vectors, threads=threads or None)


def vectors(
    tokenizer: CodebookTokenizer, given: Events | ak.Array, threads: int
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield what is looked up (n, D) of the objects that are known and not cut; NaN for the invalid ones."""
    events = encoding.events_of(tokenizer, given)
    fitted = tokenizer.fitted
    program = fitted.vectors.program(events)
    for begin in range(0, events.n_objects, _BLOCK):
        found, states = fitted.vectors(program, begin, min(begin + _BLOCK, events.n_objects), threads)
        found[states == INVALID] = np.nan
        yield latents(fitted.network, found[(states == KEPT) | (states == INVALID)], threads)


def _sort_column(
    name: str | None, events: Events, rows: npt.NDArray[np.int64] | None
) -> npt.NDArray[Any] | None:
    if name is None:
        return None
    column = encoding.column(events, name)
    return column if rows is None else column[rows]


# ---- errors ---------------------------------------------------------------------------------------------------


def _raise_invalid(tokenizer: CodebookTokenizer, events: Events, row: int, count: int) -> None:
    more = f" (and {count - 1} more invalid objects)" if count > 1 else ""
    raise InvalidEventsError(
        f"{explain_invalid(tokenizer, events, row)}{more}; drop or mend it, or encode with on_invalid='sentinel'"
    )


def explain_invalid(tokenizer: CodebookTokenizer, events: Events, row: int) -> str:
    """Say what is invalid about one object (a row of the columns)."""
    settings, fitted = tokenizer.settings, tokenizer.fitted
    event = int(np.searchsorted(events.offsets, row, side="right")) - 1
    place = row - int(events.offsets[event])
    where = f"event {event}, object {place}"
    vectors, states = fitted.vectors(fitted.vectors.program(events), row, row + 1, 1)
    if states[0] == UNKNOWN:
        code = int(events.columns[TYPE_COLUMN][row])
        name = events.types[code] if events.types else str(code)
        return f"{where}: unknown object type {name!r}; the tokenizer knows {', '.join(settings.types)}"
    for name, feature in settings.features.items():
        value = float(events.columns[feature.column][row])
        given = f"{name}: column {feature.column!r} = {value!r}"
        if feature.relative_to is not None:
            reference = float(events.fields[feature.relative_to][event])
            given += f" relative to {feature.relative_to!r} = {reference!r}"
            value -= reference
        if not np.isfinite(value):
            return f"{where}: {given} is not finite"
        kind = feature.function.kind
        if (kind == "log" and value <= 0) or (kind == "sqrt" and value < 0):
            return f"{where}: {given} is not valid for {kind}"
    if states[0] == INVALID:
        return f"{where}: a feature overflows float32"
    if not np.isfinite(latents(fitted.network, vectors, 1)).all():
        return f"{where}: the network overflows float32 at {dict(zip(fitted.vectors.names, vectors[0], strict=True))}"
    return (
        f"{where}: no code is nearest to {latents(fitted.network, vectors, 1)[0]} ({fitted.codebook.metric})"
    )


# ---- decoding -------------------------------------------------------------------------------------------------


def decode(tokenizer: CodebookTokenizer, tokens: Tokens) -> Events:
    """Decode `tokens`; see `CodebookTokenizer.decode`."""
    fitted, vocabulary = tokenizer.fitted, tokenizer.vocabulary
    ids = tokens.ids.astype(np.int64)
    event_of = np.repeat(np.arange(len(tokens)), tokens.lengths)
    is_object, event_tokens = find_objects(
        tokenizer, tokenizer.settings.sequence, ids, tokens.offsets, event_of
    )
    fields = event_fields(fitted.event_features, vocabulary, event_tokens)
    counts = np.bincount(event_of[is_object], minlength=len(tokens))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    codes = ids[is_object] - vocabulary.object_base
    known = (codes >= 0) & (codes < vocabulary.n_objects)  # the others are unk and -1
    vectors = fitted.codebook.vectors[np.where(known, codes, 0)].astype(np.float64)
    vectors[~known] = np.nan
    if fitted.network is not None:
        latent = {f"z{k}": vectors[:, k].astype(np.float32) for k in range(vectors.shape[1])}
        return Events(offsets, latent, fields)
    columns, types = _features(fitted, vectors, known)
    return Events(offsets, columns, fields, types=types)


def _features(
    fitted: Fitted, vectors: npt.NDArray[np.float64], known: npt.NDArray[np.bool_]
) -> tuple[dict[str, npt.NDArray[Any]], tuple[str, ...]]:
    """Return the columns of objects at these vectors (m, D), and the names of their types."""
    numbers = fitted.vectors
    names = decoded_names(numbers.features, (TYPE_COLUMN,) if numbers.types else ())
    columns: dict[str, npt.NDArray[Any]] = {}
    for k, (name, feature) in enumerate(numbers.features.items()):
        transformed = vectors[:, k] * numbers.scale[k] + numbers.mean[k]
        columns[names[name]] = feature.function.inverse_float(transformed)
    if not numbers.types:
        return columns, ()
    one_hot = vectors[:, len(numbers.features) :] * np.sign(numbers.type_value)
    types = [*numbers.types]
    codes = np.where(known, np.nan_to_num(one_hot, nan=-np.inf).argmax(axis=1), len(types))
    if not known.all():
        types.append("unk")
    return {TYPE_COLUMN: codes.astype(np.uint8), **columns}, tuple(types)
