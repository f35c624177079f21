"""Which columns a call asks for, and their units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import SchemaError
from evtok.io.schema import Schema

Array = npt.NDArray[Any]


def select(wanted: Iterable[str] | None, there: Sequence[str], what: str, path: str) -> tuple[str, ...]:
    """Return the names asked for, or all; refuse those that are not there."""
    if wanted is None:
        return tuple(there)
    names = (wanted,) if isinstance(wanted, str) else tuple(dict.fromkeys(wanted))
    unknown = [name for name in names if name not in there]
    if unknown:
        raise SchemaError(
            f"{path}: {what}: {', '.join(map(str, unknown))} not there; the schema gives "
            f"{', '.join(there) or 'none'}"
        )
    return names


def to_gev(values: Array, schema: Schema, name: str) -> Array:
    """Scale energies of a file in MeV or TeV to GeV: in float64, rounded once to the dtype of the file."""
    if schema.unit(name) != "GeV" or schema.energy_divisor == 1:
        return values
    dtype = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    return np.divide(values, schema.energy_divisor, dtype=np.float64).astype(dtype, copy=False)
