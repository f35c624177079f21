"""The readable definition of each kernel: written to be read first, slow, and the expected value in tests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def merge_collections(
    collections: Sequence[tuple[npt.NDArray[Any], Mapping[str, Any]]], dtypes: Mapping[str, np.dtype[Any]]
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
    """Merge ragged collections of the same events: the first collection comes first in each event.

    Parameters
    ----------
    collections : sequence of (offsets (n_events + 1,), columns)
        A column is an array (m_k,), or one number for all objects of the collection.
    dtypes : mapping
        The columns of the result and their dtypes.

    Returns
    -------
    offsets : int64 (n_events + 1,)
    columns : dict of str to array (m,)
    """
    n_events = len(collections[0][0]) - 1
    rows: dict[str, list[Any]] = {name: [] for name in dtypes}
    starts = [0]
    for i in range(n_events):
        for offsets, columns in collections:
            for j in range(int(offsets[i]), int(offsets[i + 1])):
                for name, values in rows.items():
                    column = columns[name]
                    values.append(column[j] if isinstance(column, np.ndarray) else column)
        starts.append(starts[-1] + sum(int(offsets[i + 1]) - int(offsets[i]) for offsets, _ in collections))
    return np.array(starts, np.int64), {name: np.array(rows[name], dtype) for name, dtype in dtypes.items()}


# ---- bins and token ids (bins.hpp, row_ids.hpp, tokenize.hpp) ---------------------------------------------------


def bin_code(x: float, edges: Sequence[float], right: bool = False) -> int:
    """Count the edges that `x` has passed: those at or below it, or (right-closed) those below it. NaN passes all."""
    if right:
        return sum(not x <= edge for edge in edges)
    return sum(not x < edge for edge in edges)


def relative_value(x: float, reference: float, wrap: bool) -> float:
    """Difference to the jet axis in float64, wrapped to [-pi, pi) as NumPy's ``(x + pi) % (2 * pi) - pi``."""
    difference = np.float64(x) - np.float64(reference)
    return float((difference + np.pi) % (2 * np.pi) - np.pi) if wrap else float(difference)


def binned_ids(
    digits: Sequence[int | None],
    strides: Sequence[int],
    base: int,
    unknown: int,
    seen: Sequence[int] | None = None,
) -> int:
    """Combine the digits of one object into its id.

    Parameters
    ----------
    digits : sequence of int or None
        One for each part of the object; None for one that the vocabulary does not hold.
    strides : sequence of int
        Factors of the mixed radix.
    base : int
        The first object id.
    unknown : int
        The id of an object with an unknown digit or an unseen combination.
    seen : sequence of int, optional
        Combinations that have an id, increasing: the id is the rank.
    """
    if None in digits:
        return unknown
    key = sum(digit * stride for digit, stride in zip(digits, strides, strict=True) if digit is not None)
    if seen is None:
        return base + key
    return base + list(seen).index(key) if key in seen else unknown


def object_order(values: Sequence[float]) -> list[int]:
    """Order of objects by falling value; equal ones stay as found."""
    return sorted(range(len(values)), key=lambda k: -values[k])


def parse_darkmachines(
    text: bytes,
    types: Sequence[str] = ("j", "b", "e-", "e+", "m-", "m+", "g"),
    dtype: npt.DTypeLike = np.float32,
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]], dict[str, Any], list[int]]:
    """Parse Dark Machines text: ``event;process;weight;MET;METphi;type,E,pt,eta,phi;...`` in MeV.

    Parameters
    ----------
    text : bytes
        Lines that end with a line feed, or a carriage return and a line feed; the last may lack both. Empty
        lines are passed over.
    types : sequence of str
        Names of the type codes.
    dtype : float32 or float64
        Every value but the weight is read to the nearest float64, energies are divided by 1000 there, and the
        result is rounded once to this.

    Returns
    -------
    offsets : int64 (n_events + 1,)
    columns : dict of energy, pt (GeV), eta, phi (rad) and type (uint8), each (m,)
    fields : dict of event (int64), process (list of str), weight (float64), MET (GeV), METphi (rad)
        Each (n_events,).
    bad : list of int
        Lines, counted from 0, that hold no record; their events are left out.
    """
    number = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
    typed = re.compile(r"(?:(j|b|e[-+]|mu?[-+]|[ga]),|([ga])(?=[0-9]))", re.ASCII)
    other_spellings = {"mu-": "m-", "mu+": "m+", "a": "g"}

    def read(value: str, divisor: float, to: npt.DTypeLike) -> Any:
        if not number.fullmatch(value) or len(value) > 1024:
            raise ValueError(value)
        with np.errstate(over="ignore", under="ignore"):
            rounded = np.float64(float(value) / divisor).astype(to)
        if not np.isfinite(rounded):
            raise OverflowError(value)
        return rounded

    def read_object(field: str) -> tuple[Any, ...]:
        start = typed.match(field)
        if start is None:
            raise ValueError(field)
        name = start[1] or start[2]
        energy, pt, eta, phi = field[start.end() :].split(",")
        return (
            *(
                read(energy, 1000.0, dtype),
                read(pt, 1000.0, dtype),
                read(eta, 1.0, dtype),
                read(phi, 1.0, dtype),
            ),
            types.index(other_spellings.get(name, name)),
        )

    def read_record(line: bytes) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]]:
        if len(line) > 2**20:
            raise ValueError(len(line))
        event, process, weight, met, met_phi, *objects = line.decode("ascii").split(";")
        if not re.fullmatch(r"-?[0-9]+", event, re.ASCII) or not -(2**63) <= int(event) < 2**63:
            raise ValueError(event)
        if not re.fullmatch(r"[ -+\--~]{1,256}", process, re.ASCII):
            raise ValueError(process)
        header = (
            *(int(event), process),
            *(read(weight, 1.0, np.float64), read(met, 1000.0, dtype), read(met_phi, 1.0, dtype)),
        )
        if objects and objects[-1] == "":  # the record ends with a semicolon
            objects.pop()
        return header, [read_object(field) for field in objects]

    headers, rows, starts, bad = [], [], [0], []
    for k, line in enumerate(text.split(b"\n")):
        record = line.removesuffix(b"\r")
        if not record:
            continue
        try:
            header, objects = read_record(record)
        except (ValueError, OverflowError):
            bad.append(k)
            continue
        headers.append(header)
        rows += objects
        starts.append(len(rows))
    event, process, weight, met, met_phi = ([h[i] for h in headers] for i in range(5))
    names = ("energy", "pt", "eta", "phi", "type")
    dtypes = (dtype, dtype, dtype, dtype, np.uint8)
    columns = {name: np.array([row[i] for row in rows], dtypes[i]) for i, name in enumerate(names)}
    fields = {
        "event": np.array(event, np.int64),
        "process": process,
        "weight": np.array(weight, np.float64),
        "MET": np.array(met, dtype),
        "METphi": np.array(met_phi, dtype),
    }
    return np.array(starts, np.int64), columns, fields, bad
