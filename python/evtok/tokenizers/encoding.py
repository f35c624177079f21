"""What every `encode` does before its kernel: checks of its arguments, and columns as a kernel takes them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import numpy.typing as npt

from evtok import _arrays
from evtok.errors import InvalidEventsError
from evtok.events import TYPE_COLUMN, Events

if TYPE_CHECKING:
    from evtok.cuda.events import GpuEvents
    from evtok.tokenizers.interface import Tokenizer

_NO_LIMIT = (1 << 63) - 1


def on_gpu(events: object) -> TypeGuard[GpuEvents]:
    """Tell whether these are `GpuEvents`, without importing what is for GPUs alone."""
    module = sys.modules.get("evtok.cuda.events")
    return module is not None and isinstance(events, module.GpuEvents)


def check_arguments(on_invalid: str, dtype: np.dtype[Any], vocab_size: int) -> None:
    """Refuse arguments of `encode` that mean nothing, or do not go together."""
    if on_invalid not in ("raise", "sentinel"):
        raise ValueError(f"on_invalid: expected 'raise' or 'sentinel', got {on_invalid!r}")
    if dtype == np.uint16:
        if vocab_size > 1 << 16:
            raise ValueError(f"dtype: uint16 cannot hold the {vocab_size} ids of this vocabulary; use int32")
        if on_invalid != "raise":
            raise ValueError(
                "dtype: uint16 has no place for the sentinel -1; use int32, or on_invalid='raise'"
            )
    elif dtype != np.int32:
        raise TypeError(f"dtype: expected int32 or uint16, got {dtype}")


def check_out(out: Any, dtype: np.dtype[Any], events: Events) -> None:
    """Refuse memory that ids cannot be written to.

    Raises
    ------
    TypeError
        Not a NumPy array of `dtype`.
    ValueError
        It has another shape than (n,), is not contiguous, aligned or writable, or holds values of the events.
    """
    if out is None:
        return
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        got = f"one of {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise TypeError(f"out: expected a NumPy array of {dtype}, as dtype says, got {got}")
    flags = out.flags
    if out.ndim != 1 or not (flags.c_contiguous and flags.aligned and flags.writeable):
        raise ValueError(
            f"out: expected shape (n,), contiguous, aligned and writable, got shape {out.shape}, contiguous: "
            f"{flags.c_contiguous}, aligned: {flags.aligned}, writable: {flags.writeable}"
        )
    arrays = (events.offsets, *events.columns.values(), *events.fields.values())
    if any(np.may_share_memory(out, array) for array in arrays):
        raise ValueError("out: shares memory with the events; give it memory of its own")


def events_of(tokenizer: Tokenizer, given: Any) -> Events:
    """Return the events, or those of an awkward array of lists of records, of which only what is needed is read.

    Raises
    ------
    TypeError
        Neither of the two.
    InvalidEventsError
        An awkward array without a column that `tokenizer` needs, or one that needs fields of the event.
    """
    if isinstance(given, Events):
        return given
    if on_gpu(given):
        raise TypeError("events: this tokenizer takes events on the host for now; use events.to_host()")
    if _arrays.kind(given) != "awkward":
        raise TypeError(
            f"events: expected Events, or an awkward array of lists of records, got {type(given).__name__}"
        )
    if tokenizer.required_fields:
        raise InvalidEventsError(
            f"events: this tokenizer needs {', '.join(tokenizer.required_fields)} of each event, which an array of "
            "objects does not have; use Events.from_awkward(objects, fields)"
        )
    if not given.fields:
        return Events.from_awkward(given)  # raises: there are no records
    needed = tokenizer.required_columns
    missing = [name for name in needed if name not in given.fields]
    if missing:
        raise InvalidEventsError(f"events: no column {missing[0]!r}; there are {', '.join(given.fields)}")
    return Events.from_awkward(given[list(needed)])


def column(events: Events, name: str, *, of_event: bool = False, as_float: bool = True) -> npt.NDArray[Any]:
    """Return a column (m,), or a field (n_events,); integers become float64 unless told otherwise."""
    kind, available = ("field", events.fields) if of_event else ("column", events.columns)
    if name not in available:
        raise InvalidEventsError(f"events: no {kind} {name!r}; there are {', '.join(available) or 'none'}")
    x = available[name]
    return _arrays.as_float(x, f"{kind}s[{name!r}]") if as_float else x


def type_codes(events: Events) -> npt.NDArray[np.uint8]:
    """Return the codes of the objects' types (m,).

    Raises
    ------
    InvalidEventsError
        No such column, or codes that 8 bits do not hold.
    TypeError
        Codes that are not integers.
    """
    codes = column(events, TYPE_COLUMN, as_float=False)
    if codes.dtype.kind not in "iu":
        raise TypeError(f"columns['type']: expected integer codes, got {codes.dtype}")
    if codes.dtype != np.uint8:
        if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) < 256:
            raise InvalidEventsError(
                f"columns['type']: expected codes from 0 to 255, got {int(codes.min())} to {int(codes.max())}"
            )
        codes = codes.astype(np.uint8)
    return codes


def reference(events: Events, name: str) -> npt.NDArray[np.float64]:
    """Return a field (n_events,) in float64, contiguous."""
    return np.ascontiguousarray(column(events, name, of_event=True), np.float64)


def max_objects(
    max_length: int | None,
    too_long: str,
    around: int,
    width: int,
    multiplicities: Callable[[], npt.NDArray[np.int64]],
) -> int:
    """Return how many objects a sequence may keep.

    Parameters
    ----------
    max_length : int or None
        The longest sequence.
    too_long : {"raise", "truncate"}
    around : int
        Tokens of a sequence beside its objects.
    width : int
        Tokens of an object.
    multiplicities : callable
        Gives the multiplicity of each event, int64 (n_events,), if there is a longest sequence.

    Raises
    ------
    InvalidEventsError
        An event has more, and must not be cut.
    """
    if max_length is None:
        return _NO_LIMIT
    most = (max_length - around) // width
    multiplicity = multiplicities()
    largest = int(multiplicity.max(initial=0))
    if largest <= most:
        return _NO_LIMIT
    if too_long == "raise":
        raise InvalidEventsError(
            f"events: event {int(multiplicity.argmax())} has {largest} objects, and max_length={max_length} "
            f"holds {most}; make the tokenizer with a larger max_length, or with too_long='truncate'"
        )
    return most
