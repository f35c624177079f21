"""P29: Ctrl-C at a random moment of a call of each public function that ends in a kernel."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults import forks
from faults.kernels import KERNELS
from faults.rows import Row

LIMIT = 0.2


def run(work: Path, *, full: bool) -> Iterator[Row]:
    """20 presses of Ctrl-C in calls of each kernel, or 2."""
    row = Row(
        "Ctrl-C in a call of each public function that ends in a kernel",
        f"KeyboardInterrupt within {LIMIT} s, and the next call works",
        (f"within {LIMIT} s",),
    )
    before = os.getloadavg()[0]
    worst = []
    for name in KERNELS:
        times = _pressed(name, presses=20 if full else 2, size=1.0 if full else 0.25, row=row)
        worst.append(f"{name}: {max(times, default=0):.3f} s of {len(times)}")
    row.notes += [f"load of the machine before: {before:.1f}", *worst]
    yield row


def _pressed(name: str, presses: int, size: float, row: Row) -> list[float]:
    """Return the seconds from the signal to the exception; each press is a child of its own."""
    prepare, n = KERNELS[name]
    times = []
    for k in range(presses):
        read, write = os.pipe()
        child = forks.Child(_call, prepare, max(1, int(n * size)), write)
        os.close(write)
        ready = os.read(read, 1)  # once it is prepared
        os.close(read)
        if ready:
            time.sleep(random.Random(k).uniform(0.02, 0.3))
            sent = time.clock_gettime(time.CLOCK_MONOTONIC)
            child.kill(signal.SIGINT)
        outcome = child.wait(90)
        if not outcome.returned:
            row.add(f"{outcome.how}", (name, outcome.value))
            continue
        caught, again = outcome.value
        times.append(caught - sent)
        if not again:
            row.add("the next call fails", name)
        else:
            row.add(f"within {LIMIT} s" if times[-1] <= LIMIT else "later", f"{name}: {times[-1]:.3f} s")
    return times


def _call(prepare: Any, n: int, write: int) -> tuple[float, bool]:
    small = prepare(max(1, n // 500))
    small()
    call = prepare(n)
    try:
        os.write(write, b"!")
        while True:
            call()
    except KeyboardInterrupt:
        caught = time.clock_gettime(time.CLOCK_MONOTONIC)
    small()
    return caught, True
