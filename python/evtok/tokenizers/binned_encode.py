"""Encoding: lays the columns of events before the compiled kernel and turns its counts into errors and a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from evtok import _backend, _core
from evtok.errors import InvalidEventsError
from evtok.events import TYPE_COLUMN, Events
from evtok.tokenizers import binned_rows, encoding, event_features
from evtok.tokenizers.binned_config import Settings
from evtok.tokenizers.feature import FittedFeature
from evtok.tokenizers.sequence import around_objects
from evtok.tokenizers.vocabulary import strides
from evtok.tokens import EncodeReport, Tokens

if TYPE_CHECKING:
    import awkward as ak

    from evtok.tokenizers.binned import BinnedTokenizer

# Keys up to this many are looked up in a table of ranks (64 MiB of int32); more are searched.
_MAX_TABLE = 1 << 24

# Given for an unknown object where keys are collected; -1 is for an invalid one.
_NO_KEY = -2


def encode(
    tokenizer: BinnedTokenizer,
    given: Events | ak.Array,
    on_invalid: str,
    threads: int,
    dtype: np.dtype[Any],
    out: npt.NDArray[Any] | None,
) -> Tokens:
    """Encode the events `given`; see `BinnedTokenizer.encode`."""
    events = encoding.events_of(tokenizer, given)
    settings, vocabulary = tokenizer.settings, tokenizer.vocabulary
    encoding.check_arguments(on_invalid, dtype, vocabulary.size)
    encoding.check_out(out, dtype, events)
    special_ids = vocabulary.special_ids
    unknown = special_ids.get("unk", -1)
    # Factorised digits are ids of their own: their combinations are not counted, and may be more than any id.
    factors = {} if settings.factorised else tokenizer.strides
    program = _program(settings, tokenizer.fitted, events, factors, threads)
    program.set_vocabulary(settings.factorised, vocabulary.object_base, unknown)
    if tokenizer.ranks is not None:
        program.set_ranks(tokenizer.ranks)
    elif tokenizer.seen is not None:
        program.set_seen(tokenizer.seen)

    entries: dict[str, Any] = dict(special_ids)
    fitted = {name: tokenizer.fitted[name] for name in settings.event_features}
    of_event = event_features.encode(fitted, events, settings.types, vocabulary, on_invalid, threads)
    entries.update(of_event.ids)
    before, after = around_objects(settings.sequence)
    run: Any = program.sequences_uint16 if dtype == np.uint16 else program.sequences_int32
    offsets, ids, counts = run(
        [entries[name] for name in before],
        [entries[name] for name in after],
        _sort_column(settings, events),
        encoding.max_objects(
            settings.max_length,
            settings.too_long,
            len(settings.sequence) - 1,
            len(tokenizer.digits) if settings.factorised else 1,
            lambda: events.multiplicity,
        ),
        threads,
        out,
    )
    if counts["invalid"] and on_invalid == "raise":
        row = counts["first_invalid"]
        event = int(np.searchsorted(events.offsets, row, side="right")) - 1
        first = int(events.offsets[event])
        raise_invalid(tokenizer, events[event], event, row - first, counts["invalid"])
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
        ),
    )


def keys(
    settings: Settings, fitted: Mapping[str, FittedFeature], events: Events, on_invalid: str
) -> npt.NDArray[np.int32]:
    """Return the distinct mixed-radix keys of the objects whose every digit is known.

    Unknown objects are passed over where the tokenizer has ``unk`` for them; elsewhere they are invalid.
    """
    digits = [fitted[name].n_digits for name in settings.features]
    if settings.types:
        digits.insert(0, max(settings.types.values()) + 1)
    factors = strides(digits, settings.order == "last-fastest")
    names = ([TYPE_COLUMN] if settings.types else []) + list(settings.features)
    program = _program(settings, fitted, events, dict(zip(names, factors, strict=True)), 1)
    has_unknown = "unk" in (*settings.specials, *settings.specials_high)
    program.set_vocabulary(False, 0, _NO_KEY if has_unknown else -1)
    result = np.empty(events.n_objects, np.int32)
    counts = program.ids(result, 0)
    if counts["invalid"] and on_invalid == "raise":
        raise InvalidEventsError(
            f"source: {counts['invalid']} objects have an invalid value or an unknown type; drop them, or fit with "
            "on_invalid='skip'"
        )
    return np.unique(result[result >= 0])


def rank_table(tokenizer: BinnedTokenizer) -> npt.NDArray[np.int32] | None:
    """Return the rank of each key, or None where a table would be too large or nothing is ranked."""
    if tokenizer.seen is None:
        return None
    n_keys = int(np.prod(list(tokenizer.digits.values()), dtype=np.int64))
    if tokenizer.seen.size and int(tokenizer.seen[-1]) >= n_keys:
        raise ValueError(
            f"seen: key {int(tokenizer.seen[-1])} is above the {n_keys} combinations of the digits"
        )
    if n_keys > _MAX_TABLE:
        return None
    table = np.full(n_keys, -1, np.int32)
    table[tokenizer.seen] = np.arange(len(tokenizer.seen), dtype=np.int32)
    return table


# ---- laying out -----------------------------------------------------------------------------------------------


def _program(
    settings: Settings,
    fitted: Mapping[str, FittedFeature],
    events: Events,
    factors: Mapping[str, int],
    threads: int,
) -> _core.RowProgram:
    """Give every part of an object to the kernel, in the order of the mixed radix."""
    program = _core.RowProgram(events.n_objects)
    program.set_offsets(events.offsets, threads)
    base = len(settings.specials)  # of each block of digits, when factorised
    if settings.types:
        codes, contributions = _types(settings, events, 1 if settings.factorised else factors[TYPE_COLUMN])
        program.add_types(codes, contributions, base)
        base += max(settings.types.values()) + 1
    for name in settings.features:
        feature = fitted[name].feature
        binned_rows.add(
            program,
            fitted[name],
            encoding.column(events, feature.column),
            None if feature.relative_to is None else encoding.reference(events, feature.relative_to),
            1 if settings.factorised else factors[name],
            base,
        )
        base += fitted[name].n_digits
    return program


def _types(
    settings: Settings, events: Events, stride: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Return the type codes of the events, and what each code contributes."""
    return encoding.type_codes(events), type_contributions(settings, events.types, stride)


def type_contributions(settings: Settings, types: Sequence[str], stride: int) -> npt.NDArray[np.int32]:
    """Return what each code of a type contributes (256,), or the unknown flag; `types` are names of the codes."""
    contributions = np.full(256, _core.unknown_flag, np.int32)
    if types:
        for code, name in enumerate(types):
            if name in settings.types:
                contributions[code] = settings.types[name] * stride
    else:  # codes without names are the digits themselves
        digits = np.fromiter(settings.types.values(), np.int64)
        contributions[digits] = digits * stride
    return contributions


def _sort_column(settings: Settings, events: Events) -> npt.NDArray[Any] | None:
    return None if settings.sort_by is None else encoding.column(events, settings.sort_by)


# ---- errors ---------------------------------------------------------------------------------------------------


def explain_invalid(tokenizer: BinnedTokenizer, events: Events, row: int) -> str:
    """Say what is invalid about one object (a row of the columns)."""
    event = int(np.searchsorted(events.offsets, row, side="right")) - 1
    return _explain(tokenizer, events[event], event, row - int(events.offsets[event]))


def _explain(tokenizer: BinnedTokenizer, one: Events, event: int, k: int) -> str:
    """Say what is invalid about object `k` of the event `one`, which has the number `event`."""
    settings = tokenizer.settings
    where = f"event {event}, object {k}"
    if settings.types:
        code = int(one.columns[TYPE_COLUMN][k])
        name = one.types[code] if one.types else str(code)
        known = settings.types if one.types else {str(d): d for d in settings.types.values()}
        if name not in known and "unk" not in tokenizer.special_ids:
            return f"{where}: unknown object type {name!r}; the tokenizer knows {', '.join(known)}"
    for name, feature in settings.features.items():
        value = float(binned_rows.compared_values(feature, one)[k])
        lowest, highest = feature.transform.valid_range(np.float64)
        if not lowest <= value <= highest and not (feature.zero_is_code_zero and value == 0):
            return f"{where}: {name} = {value!r} is not valid for {feature.transform.kind} bins of {feature.column!r}"
    return f"{where}: its combination of bins is unknown to the tokenizer, which has no token 'unk'"


def raise_invalid(tokenizer: BinnedTokenizer, one: Events, event: int, k: int, count: int) -> NoReturn:
    """Raise for object `k` of the event `one`, which has the number `event`: the first of `count`."""
    more = f" (and {count - 1} more invalid objects)" if count > 1 else ""
    raise InvalidEventsError(
        f"{_explain(tokenizer, one, event, k)}{more}; drop or mend it, or encode with on_invalid='sentinel'"
    )
