"""One binned feature as the kernel takes it, whether of the objects or of the events: one row for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.events import Events
from evtok.tokenizers import encoding
from evtok.tokenizers.feature import Feature, FittedFeature


def compared_values(feature: Feature, events: Events, *, of_event: bool = False) -> npt.NDArray[Any]:
    """Return what is compared with the edges: the column (or field), or the relative or wrapped value in float64."""
    x = encoding.column(events, feature.column, of_event=of_event)
    reference = None
    if feature.relative_to is not None:
        reference = np.repeat(encoding.reference(events, feature.relative_to), events.multiplicity)
    return derived(feature, x, reference)


def derived(
    feature: Feature, x: npt.NDArray[Any], reference: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[Any]:
    """Return values x (n,) as they are compared with the edges: in float64 minus `reference` (n,), and wrapped."""
    if not feature.is_derived:
        return x
    value = x.astype(np.float64)
    if reference is not None:
        value -= reference
    return (value + np.pi) % (2 * np.pi) - np.pi if feature.wrap else value


def add(
    program: _core.RowProgram,
    fitted: FittedFeature,
    x: npt.NDArray[Any],
    reference: npt.NDArray[np.float64] | None,
    stride: int,
    base: int,
) -> None:
    """Give one feature to the kernel.

    Parameters
    ----------
    program : RowProgram
    fitted : FittedFeature
    x : float32 or float64 (n_rows,)
    reference : float64 (n_events,) or None
        What is subtracted from the rows of each event.
    stride, base : int
        Factor of the digit in the mixed radix, and the first id of its block.
    """
    single = x.dtype == np.float32 and not fitted.feature.is_derived
    program.add_bins(
        x,
        fitted.thresholds32 if single else fitted.thresholds64,
        options(fitted, single, reference, stride, base),
    )


def options(
    fitted: FittedFeature, single: bool, reference: npt.NDArray[np.float64] | None, stride: int, base: int
) -> dict[str, Any]:
    """Return what a kernel is told of a feature beside its thresholds; `single`: they are the float32 ones."""
    feature = fitted.feature
    lowest, highest = feature.transform.valid_range(np.float32 if single else np.float64)
    return {
        "right": feature.right,
        "lowest": lowest,
        "highest": highest,
        "first": fitted.first,
        "last": fitted.last,
        "origin": fitted.origin,
        "outside_unknown": feature.outside == "unknown",
        "stride": stride,
        "base": base,
        "relative": feature.is_derived,
        "wrap": feature.wrap,
        "reference": reference,
        "zero_is_digit_zero": feature.zero_is_code_zero,
    }
