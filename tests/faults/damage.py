"""P36, P37: truncations at every byte and flipped bits, in our files and in inputs of every format."""

from __future__ import annotations

import os
import resource
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from evtok.errors import EvtokError
from faults import forks
from faults.formats import INPUTS, OURS, Format
from faults.imports import warm
from faults.rows import Row

_MEMORY = 6 << 30
_PER_CHILD = 250
_SECONDS = 30
#: In a run that is not full.
_FLIPS = int(os.environ.get("EVTOK_TEST_FLIPS", "60"))

Damage = tuple[str, int]  # ("cut", length) or ("flip", bit)


def run(work: Path, *, full: bool) -> Iterator[Row]:
    """10 000 flips and every truncation of each format, or some."""
    for form in (*OURS, *INPUTS):
        folder = work / "damaged"
        folder.mkdir()
        forks.require(_make, form, folder)
        warm(form.read, folder)
        size = (folder / form.altered).stat().st_size
        rng = np.random.default_rng(37)
        cuts = range(size) if full else sorted(rng.choice(size, min(size, 40), replace=False).tolist())
        flips = rng.integers(0, 8 * size, 10_000 if full else _FLIPS).tolist()
        yield _row(form, folder, f"a file of {size} bytes cut short", [("cut", n) for n in cuts])
        yield _row(form, folder, "one bit flipped", [("flip", bit) for bit in flips])
        shutil.rmtree(folder)


def _make(form: Format, folder: Path) -> None:
    warnings.simplefilter("ignore")
    form.make(folder)


def _row(form: Format, folder: Path, what: str, damages: Sequence[Damage]) -> Row:
    row = Row(
        f"{form.name}: {what}",
        "an error of evtok, or the same content"
        + ("" if form.ours else ", or what docs/formats.md says of the format"),
        ("refused", "identical") if form.ours else ("refused", "identical", "reads as other content"),
    )
    path = folder / form.altered
    data = path.read_bytes()
    expected = forks.require(form.read, folder)

    def outcomes(part: Sequence[Damage]) -> list[tuple[str, str]]:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        warnings.simplefilter("ignore")
        return [_outcome(form.read, folder, path, data, damage, expected) for damage in part]

    for start in range(0, len(damages), _PER_CHILD):
        part = damages[start : start + _PER_CHILD]
        together = forks.run(outcomes, part, timeout=_SECONDS * 10)
        if together.returned:
            found = together.value
        else:  # one of them killed the child, or hung it: find out which
            found = []
            for damage in part:
                alone = forks.run(outcomes, [damage], timeout=_SECONDS)
                found += alone.value if alone.returned else [(f"the process {alone.how}", str(alone.value))]
        for damage, (outcome, example) in zip(part, found, strict=True):
            row.add(outcome, (damage, example))
    path.write_bytes(data)
    return row


def _outcome(
    read: Callable[[Path], str], folder: Path, path: Path, data: bytes, damage: Damage, expected: str
) -> tuple[str, str]:
    how, number = damage
    damaged = bytearray(data[:number] if how == "cut" else data)
    if how == "flip":
        damaged[number // 8] ^= 1 << (number % 8)
    path.write_bytes(damaged)
    try:
        found = read(folder)
    except EvtokError:
        return "refused", ""
    except MemoryError:
        return "asked for too much memory", ""
    except Exception as error:
        return "a foreign error", f"{type(error).__name__}: {error}"[:300]
    return ("identical" if found == expected else "reads as other content"), ""
