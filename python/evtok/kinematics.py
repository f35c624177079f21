"""Kinematics with the same bits on every machine: pt, η and φ from momenta, differences of angles, jet axes.

NumPy's log, arctan2 and arcsinh give other bits on other machines and versions; a bin edge can fall between.
These functions use IEEE 754 arithmetic alone. They are evaluated in float64 and rounded once to the dtype of
the input, see ``kinematics.hpp`` and ``real_functions.hpp``; `evtok.reference` has the readable definitions.

All functions take arrays of any shape and layout, NumPy or torch on CPU, broadcast them, and return the kind
of the first one; scalars give a scalar. The result is float32 if every input is float32 or float16, else
float64; integers must be exact in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _backend, _core

Array = npt.NDArray[Any]


def pt_eta_phi(px: Any, py: Any, pz: Any, *, threads: int | None = None) -> tuple[Any, Any, Any]:
    """Transverse momentum, pseudorapidity and azimuth of momenta.

    Parameters
    ----------
    px, py, pz : array (...)
        Components of the momentum in one unit.
    threads : int, optional
        By default `EVTOK_NUM_THREADS` or the CPUs that this process may use. The bits do not depend on it.

    Returns
    -------
    pt : array (...)
        ``sqrt(px**2 + py**2)`` in the unit of the input; in float64 within 2 ulp.
    eta : array (...)
        ``asinh(pz / pt)``; within 5 ulp. Where pt is 0 it is ±inf with the sign of pz, or 0 if pz is 0 too.
    phi : array (...)
        ``atan2(py, px)`` in radians, from -π to π; within 2 ulp. Zeros have the signs of C's atan2.

        All three are NaN where a component is not finite.
    """
    (x, y, z), shape = _columns(px=px, py=py, pz=pz)
    results = tuple(_arrays.result(x.shape, x.dtype) for _ in range(3))
    _core.pt_eta_phi(x, y, z, threads or 0, *results)
    _backend.used_native()
    pt, eta, phi = (_shaped(result, shape, px) for result in results)
    return pt, eta, phi


def delta_phi(a: Any, b: Any, *, threads: int | None = None) -> Any:
    """Difference of azimuths a - b, wrapped to the half-open interval from -π to π as far as rounding allows.

    A difference just below -π can give exactly +π: adding 2π to it rounds to that. In float64 this is bit for
    bit NumPy's ``(a - b + pi) % (2 * pi) - pi``; for float32 inputs the same is evaluated in float64 and
    rounded once. NaN where a or b is not finite.

    Parameters
    ----------
    a, b : array (...)
        Angles in radians.
    threads : int, optional
        As for `pt_eta_phi`.
    """
    return _map(_core.delta_phi, threads, a=a, b=b)


def delta_eta(a: Any, b: Any) -> Any:
    """Difference of pseudorapidities a - b, rounded once."""
    (left, right), shape = _columns(a=a, b=b)
    # Infinite pseudorapidities are values here.
    with _core.FloatEnvironment(), np.errstate(all="ignore"):
        difference = left - right
    _backend.used_peer("numpy")
    return _shaped(difference, shape, a)


def log(x: Any, *, threads: int | None = None) -> Any:
    """Natural logarithm; in float64 within 1 ulp. -inf at 0, NaN below."""
    return _map(_core.natural_log, threads, x=x)


def asinh(x: Any, *, threads: int | None = None) -> Any:
    """Inverse hyperbolic sine; in float64 within 2 ulp."""
    return _map(_core.inverse_sinh, threads, x=x)


def atan2(y: Any, x: Any, *, threads: int | None = None) -> Any:
    """Angle of (x, y) from -π to π; in float64 within 2 ulp, with the signs of C's atan2; NaN if not finite."""
    return _map(_core.arc_tangent, threads, y=y, x=x)


def jet_axis(
    offsets: npt.ArrayLike, px: Any, py: Any, pz: Any, *, threads: int | None = None
) -> tuple[Array, Array, Array]:
    """Axis of the sum of all momenta in each event.

    Parameters
    ----------
    offsets : integer array (n_events + 1,)
        Objects of event i are rows ``offsets[i]:offsets[i + 1]``.
    px, py, pz : array (m,)
        Components of the momenta. They are added in float64 in the order of the objects.
    threads : int, optional
        By default `EVTOK_NUM_THREADS` or the CPUs that this process may use. The bits do not depend on it.

    Returns
    -------
    pt, eta, phi : array (n_events,)
        Of the sum, as from `pt_eta_phi`; an event without objects has 0, 0, 0.

    Raises
    ------
    InvalidEventsError
        Offsets that decrease or end past the columns.
    """
    (x, y, z), shape = _columns(px=px, py=py, pz=pz)
    if len(shape) != 1:
        raise ValueError(f"px, py, pz: expected shape (m,), got {shape}")
    starts, begin, end = _arrays.check_offsets(
        _arrays.offsets(offsets, "offsets"), len(x), max(1, len(x)), threads
    )
    results = tuple(np.empty(len(starts) - 1, x.dtype) for _ in range(3))
    _core.jet_axis(starts, x[begin:end], y[begin:end], z[begin:end], threads or 0, *results)
    _backend.used_native()
    pt, eta, phi = results
    return pt, eta, phi


def _map(kernel: Callable[..., None], threads: int | None, **inputs: Any) -> Any:
    columns, shape = _columns(**inputs)
    result = _arrays.result(columns[0].shape, columns[0].dtype)
    kernel(*columns, threads or 0, result)
    _backend.used_native()
    return _shaped(result, shape, next(iter(inputs.values())))


def _shaped(result: Array, shape: tuple[int, ...], x: Any) -> Any:
    """Return `result` with the broadcast shape, of the kind of `x`; a scalar where that has no dimensions."""
    shaped = result.reshape(shape)
    return shaped[()] if not shape and _arrays.kind(x) != "torch" else _arrays.like(shaped, x)


def _columns(**inputs: Any) -> tuple[list[Array], tuple[int, ...]]:
    """Contiguous flat arrays of one floating dtype, and the shape that they broadcast to."""
    arrays = {name: _arrays.to_numpy(value, name) for name, value in inputs.items()}
    for name, array in arrays.items():
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            raise TypeError(f"{name}: {array.dtype} is wider than float64; use {name}.astype('float64')")
        if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size:
            low, high = int(array.min()), int(array.max())
            if max(-low, high) > 2**53:
                raise TypeError(f"{name}: expected integers up to 2**53 in size, got {low} to {high}")
    single = all(array.dtype.kind == "f" and array.dtype.itemsize <= 4 for array in arrays.values())
    dtype = np.dtype(np.float32 if single else np.float64)
    try:
        broadcast = np.broadcast_arrays(*arrays.values())
    except ValueError as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"expected arrays of one shape, got {shapes}") from error
    with _core.FloatEnvironment():  # a conversion must keep subnormal numbers
        columns = [np.require(array, dtype, ("C", "A")).reshape(-1) for array in broadcast]
    return columns, broadcast[0].shape
