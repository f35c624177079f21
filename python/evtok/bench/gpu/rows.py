"""The rows of a benchmark on a GPU: what fails is told, and the rest goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evtok.bench import harness, registry, shapes
from evtok.bench.registry import Settings

#: Of a case, unless the user says otherwise.
SECONDS_PER_CASE = 6.0


def measured(
    benchmark: str, settings: Settings, shape: str | None = None, *, rounds: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a benchmark; one that could not be measured has "failed", the reason."""
    assert settings.device is not None
    clock = settings.device.clock()
    for found in shapes.load(benchmark, shape, on_gpu=True):
        made = registry.cases(benchmark, settings, found["name"])
        while True:
            variant = ""
            try:
                case = next(made)
                variant = case.variant
                yield harness.measure(case, rounds=rounds, clock=clock, seconds_per_case=SECONDS_PER_CASE)
            except StopIteration:
                break
            except Exception as error:  # told, and the exit code is not 0
                reason = f"{type(error).__name__}: {error}"
                yield {"benchmark": benchmark, "shape": found["name"], "variant": variant, "failed": reason}
                if not variant:  # a generator that raised is at its end
                    break
