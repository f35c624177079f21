"""One encode call on a GPU: features in order, then ids; beside `evtok._core.RowProgram`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evtok.cuda.arrays import Place, View
from evtok.tokenizers import binned_rows
from evtok.tokenizers.feature import FittedFeature

# Of the table of a feature (bin_buckets.hpp): 16 KiB, so that four features leave room for two blocks.
_MOST_BUCKETS = 2048


class BinTables(NamedTuple):
    """Thresholds of a feature on the device, and what the fast kernel looks up."""

    thresholds32: View
    thresholds64: View
    function: bytes
    table: View | None


def bin_tables(place: Place, fitted: FittedFeature) -> BinTables:
    """Copy the thresholds of a feature to the device, and make its table."""
    function, table = place.cuda.bin_buckets(
        np.ascontiguousarray(fitted.thresholds32),
        binned_rows.options(fitted, True, None, 1, 0),
        _MOST_BUCKETS,
    )
    return BinTables(
        place.view(fitted.thresholds32, "thresholds32", ("float32",)),
        place.view(fitted.thresholds64, "thresholds64", ("float64",)),
        function,
        place.view(np.frombuffer(table, np.uint8), "table", ("uint8",)) if table else None,
    )


class RowProgram:
    """Features of `n_rows` objects, or of as many events, and the ids that they make."""

    def __init__(self, place: Place, n_rows: int) -> None:
        self._place = place
        self._n_rows = n_rows
        self._program = place.cuda.RowProgram(n_rows)
        self._kept: list[View] = []  # what the kernel is told the addresses of

    def _address(self, view: View, n: int, name: str) -> int:
        if view.shape != (n,):
            raise ValueError(f"{name}: expected shape ({n},), got {view.shape}")
        self._kept.append(view)
        return view.address

    def add_types(self, codes: View, contributions: npt.NDArray[np.int32], base: int) -> None:
        """Add the types of objects: codes uint8 (n_rows,), contributions int32 (256,) on the host."""
        self._program.add_types(self._address(codes, self._n_rows, "codes"), contributions, base)

    def add_bins(
        self,
        fitted: FittedFeature,
        tables: BinTables,
        x: View,
        reference: View | None,
        stride: int,
        base: int,
    ) -> None:
        """Add a feature; see `evtok.tokenizers.binned_rows.add`."""
        single = x.dtype == "float32" and not fitted.feature.is_derived
        edges = tables.thresholds32 if single else tables.thresholds64
        table = tables.table if single else None
        self._kept += [edges] + ([] if table is None else [table])
        self._program.add_bins(
            self._address(x, self._n_rows, fitted.feature.column),
            x.dtype == "float64",
            edges.address,
            edges.size,
            0 if reference is None else self._address(reference, reference.size, "reference"),
            0 if table is None else table.address,
            tables.function,
            binned_rows.options(fitted, single, None, stride, base),
        )

    def set_vocabulary(self, factorised: bool, base: int, unknown: int) -> None:
        """Say which ids the digits make."""
        self._program.set_vocabulary(factorised, base, unknown)

    def set_combinations(self, ranks: View | None, seen: View | None) -> None:
        """Give the ranks of keys, or the keys seen."""
        if ranks is not None:
            self._program.set_ranks(self._address(ranks, ranks.size, "ranks"), ranks.size)
        elif seen is not None:
            self._program.set_seen(self._address(seen, seen.size, "seen"), seen.size)

    def set_offsets(self, offsets: View) -> None:
        """Give the offsets of events, which relative features need."""
        self._program.set_offsets(self._address(offsets, offsets.size, "offsets"), offsets.size - 1)

    def ids(self, statuses: int, dtype: str) -> View:
        """Queue the kernel: ids (n_rows * width,); `statuses` is the address of two fresh ones."""
        out = self._place.empty((self._n_rows * self._program.width(),), dtype)
        getattr(self._program, f"ids_{dtype}")(out.address, statuses, self._place.stream)
        return out


def entries(
    names: tuple[str, ...], special_ids: Mapping[str, int], event_ids: Mapping[str, View]
) -> list[tuple[int, int]]:
    """Return what stands around the objects, as the kernel takes it: (id, 0), or (0, address of one id an event)."""
    return [(0, event_ids[name].address) if name in event_ids else (special_ids[name], 0) for name in names]


def rows_of(counts: npt.NDArray[Any]) -> tuple[int, int, int]:
    """Return invalid rows, unknown ids and the first invalid row of a pair of statuses (2, 2)."""
    return int(counts[0, 0]), int(counts[1, 0]), int(counts[0, 1])
