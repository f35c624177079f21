"""The array layer: whatever holds numbers (NumPy, torch on CPU, awkward) becomes arrays that a kernel can trust.

This is the one place that makes messages about dtypes, shapes and layouts. Packages other than NumPy are recognised
by the module of their type, so that none of them is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok._optional import require
from evtok.errors import InvalidEventsError

if TYPE_CHECKING:
    import awkward as ak

Array = npt.NDArray[Any]

_FAULTS = {
    1: "offsets: expected to start at 0 or above, got {value}",
    2: "offsets: event {event} ends before it begins (multiplicity below zero): offsets[{next}] = {value}",
    3: "offsets: expected to end at or below the {content} objects of the columns, got {value}",
    4: "offsets: event {event} claims {value} objects, more than max_per_event; if that is real, raise max_per_event",
}


def kind(x: Any) -> str:
    """Name the package whose array `x` is: "numpy", "torch", "awkward", "cupy", or "other"."""
    root = type(x).__module__.split(".", 1)[0]
    if root in ("numpy", "torch", "awkward", "cupy"):
        return root
    # A package's own kind of tensor is one of torch: it has a device and a stream that others do not know.
    bases = (base.__module__.split(".", 1)[0] for base in type(x).__mro__)
    return "torch" if "torch" in bases else "other"


def on_gpu(x: Any) -> bool:
    """Tell whether `x` lies on a GPU: a torch CUDA tensor, or what has ``__cuda_array_interface__``, as CuPy's have."""
    if isinstance(x, np.ndarray):
        return False
    if kind(x) == "torch":
        return bool(getattr(x, "is_cuda", False))
    if not hasattr(type(x), "__cuda_array_interface__"):
        return False
    try:  # arrays of JAX have it as a property, which fails where they lie on the host
        return kind(x) == "cupy" or x.__cuda_array_interface__ is not None
    except (
        AttributeError,
        RuntimeError,
        TypeError,
        ValueError,
    ):  # then NumPy says what is wrong, if anything is
        return False


def to_numpy(x: Any, name: str) -> Array:
    """View `x` as a NumPy array, without a copy where its memory allows; lists and scalars are converted.

    Raises
    ------
    TypeError
        A dtype that is not a real number, a tensor that needs grad or lives on a GPU, a ragged or masked array.
    """
    package = kind(x)
    if package == "torch":
        x = _from_torch(x, name)
    elif package == "awkward":
        ak = require("awkward", extra="io")
        try:
            x = ak.to_numpy(x, allow_missing=False)
        except ValueError as error:
            raise TypeError(f"{name}: expected a flat array of numbers, got {x.type}") from error
    elif package == "cupy":
        raise TypeError(f"{name}: this call takes host memory for now; use cupy.asnumpy({name})")
    elif isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name}: masked arrays are refused; fill or drop the masked values first")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise TypeError(f"{name}: expected an array of numbers, got a ragged sequence") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    return array


def _from_torch(x: Any, name: str) -> Any:
    if x.device.type != "cpu":
        raise TypeError(f"{name}: expected a tensor on the CPU, got one on {x.device}; use {name}.cpu()")
    if x.requires_grad:
        raise TypeError(f"{name}: this call has no gradient; use {name}.detach()")
    if str(x.dtype) == "torch.bfloat16":
        x = x.float()  # exact; NumPy has no bfloat16
    return x.resolve_conj().resolve_neg().numpy()


def like(result: Array, x: Any) -> Any:
    """Return `result` as an array of the package that `x` came from."""
    if kind(x) == "torch":
        return require("torch", extra="torch").from_numpy(result)
    if kind(x) == "awkward":
        return require("awkward", extra="io").from_numpy(result)
    return result


def column(x: Any, name: str) -> Array:
    """Return one contiguous native column (m,): float32, float64, or an integer; float16 becomes float32, exactly."""
    array = to_numpy(x, name)
    if array.ndim != 1:
        raise InvalidEventsError(f"{name}: expected one dimension, got shape {array.shape}")
    dtype = array.dtype.newbyteorder("=")
    if dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    elif dtype == np.float16:
        dtype = np.dtype(np.float32)
    elif dtype.kind == "f" and dtype.itemsize > 8:
        raise TypeError(f"{name}: {array.dtype} is wider than float64; use {name}.astype('float64')")
    return np.require(array, dtype, ("C", "A"))


def as_float(x: Array, name: str) -> Array:
    """Return a column (m,) as it is if it holds floats, and integers as float64, exactly.

    Raises
    ------
    TypeError
        Integers above 2**53 in size, which float64 would round.
    """
    if x.dtype.kind == "f":
        return x
    if x.dtype.itemsize == 8 and x.size:
        low, high = int(x.min()), int(x.max())
        if max(-low, high) > 2**53:
            raise TypeError(
                f"{name}: expected integers up to 2**53 in size, got {low} to {high}; float64 would round them, so "
                "take their difference to something, or drop them"
            )
    return x.astype(np.float64)


def offsets(x: Any, name: str) -> Array:
    """Return native contiguous offsets as int32, uint32 or int64 (n + 1,)."""
    array = to_numpy(x, name)
    if array.ndim != 1 or array.size < 1:
        raise InvalidEventsError(
            f"{name}: expected shape (n_events + 1,) with at least one value, got {array.shape}"
        )
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got dtype {array.dtype}")
    native = array.dtype.newbyteorder("=")
    if native == np.uint64 and int(array.max()) > np.iinfo(np.int64).max:
        raise InvalidEventsError(f"{name}: {int(array.max())} does not fit in int64")
    wanted = native if native in (np.int32, np.uint32, np.int64) else np.dtype(np.int64)
    return np.require(array, wanted, ("C", "A"))


def check_offsets(
    x: Array, content: int, max_per_event: int, threads: int | None = 1
) -> tuple[npt.NDArray[np.int64], int, int]:
    """Check offsets and rebase them to 0; returns them as int64 with the range of objects that they cover.

    `threads` as in a public call: None for the default.

    Raises
    ------
    InvalidEventsError
        Naming the first event at fault.
    """
    fault, event, value = _core.check_offsets(x, content, max_per_event, threads or 0)
    if fault:
        raise InvalidEventsError(
            _FAULTS[fault].format(event=event, next=event + 1, value=value, content=content)
        )
    begin, end = int(x[0]), int(x[-1])
    result = x.astype(np.int64, copy=False)
    return (result - begin if begin else result), begin, end


def result(shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return an array that is not initialised, for a result of a public call.

    The memory of a large one is that of an earlier result which is gone, where there is one: pages of new memory are
    cleared by the system first, which takes about as long as a kernel does. Up to 128 MiB are kept so. Such an array
    does not own its data, as NumPy says it: it cannot be resized in place.
    """
    return _core.result_array((shape,) if isinstance(shape, int) else shape, np.dtype(dtype))


def read_only(x: Array) -> Array:
    """Return a read-only view of `x`."""
    view = x.view()
    view.flags.writeable = False
    return view


def frozen(x: Array) -> Array:
    """Return a copy of `x` that nobody can make writable again."""
    return np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape)


def from_awkward(objects: ak.Array) -> tuple[Array, dict[str, Array]]:
    """Take offsets and columns out of an awkward array of lists of records."""
    ak = require("awkward", extra="io")
    packed = ak.to_packed(ak.from_regular(ak.Array(objects), axis=None))
    layout = packed.layout
    if not isinstance(layout, ak.contents.ListOffsetArray) or not isinstance(
        layout.content, ak.contents.RecordArray
    ):
        raise TypeError(f"objects: expected a list of records in each event, got {packed.type}")
    records = layout.content
    columns = {}
    for name in records.fields:
        content = records[name]
        if not isinstance(content, ak.contents.NumpyArray):
            raise TypeError(
                f"objects.{name}: expected numbers without missing values, got {content.form.type}"
            )
        columns[name] = np.asarray(content.data)
    return np.asarray(layout.offsets.data), columns


def to_awkward(starts: npt.NDArray[np.int64], columns: Mapping[str, Array]) -> ak.Array:
    """Wrap offsets and columns as an awkward array of lists of records, sharing memory."""
    ak = require("awkward", extra="io")
    records = ak.contents.RecordArray(
        [ak.contents.NumpyArray(value) for value in columns.values()], list(columns), length=int(starts[-1])
    )
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(starts), records))


def from_padded(
    array: npt.ArrayLike, mask: npt.ArrayLike | None, names: Sequence[str], padded_where_zero: str | None
) -> tuple[npt.NDArray[np.int64], dict[str, Array]]:
    """Drop the empty slots of a padded array (n_events, slots, n_features); see `Events.from_padded`."""
    values = to_numpy(array, "array")
    if values.ndim != 3 or values.shape[2] != len(names):
        raise InvalidEventsError(
            f"array: expected shape (n_events, slots, {len(names)}) for the features {list(names)}, got {values.shape}"
        )
    if padded_where_zero is not None and padded_where_zero not in names:
        raise InvalidEventsError(
            f"padded_where_zero: expected one of {list(names)}, got {padded_where_zero!r}"
        )
    if mask is None:
        feature = names[0] if padded_where_zero is None else padded_where_zero
        filled = values[:, :, list(names).index(feature)] != 0
    elif padded_where_zero is not None:
        raise InvalidEventsError("mask, padded_where_zero: both say which slots are empty; give one of them")
    else:
        filled = to_numpy(mask, "mask") != 0
        if filled.shape != values.shape[:2]:
            raise InvalidEventsError(f"mask: expected shape {values.shape[:2]}, got {filled.shape}")
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(filled.sum(axis=1, dtype=np.int64))])
    return starts, {name: values[:, :, k][filled] for k, name in enumerate(names)}
