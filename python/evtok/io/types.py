"""Object types: a rule and perhaps a column become codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import InputFileError
from evtok.io.schema import TypeRule

Array = npt.NDArray[Any]


def codes_of(rule: TypeRule, column: Array | None, types: tuple[str, ...], where: str) -> Array | int:
    """Return uint8 codes (m,) into `types`, or one code for all objects.

    Raises
    ------
    InputFileError
        A value that the rule's table does not name.
    """
    if column is None:
        return types.index(rule.then)
    if not rule.codes:
        then, otherwise = types.index(rule.then), types.index(rule.otherwise)
        codes = (column >= rule.at_least).view(
            np.uint8
        )  # 0 or 1, then scaled in place: far cheaper than numpy.where
        codes *= np.uint8((then - otherwise) % 256)
        codes += np.uint8(otherwise)  # wraps around 256 to what is meant
        return codes
    codes = np.zeros(len(column), np.uint8)
    known = np.zeros(len(column), bool)
    for value, name in rule.codes.items():
        matches = column == value
        codes[matches] = types.index(name)
        known |= matches
    if not known.all():
        k = int(np.flatnonzero(~known)[0])
        raise InputFileError(
            f"{where}: object {k} has type {column[k]}, expected one of {sorted(rule.codes)}"
        )
    return codes
