"""The last layer of a model and the likelihoods of its targets: `token_nll` beside what torch users write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.bench.harness import Case, Contestant
from evtok.bench.machine import multiply_add_limit, version_of
from evtok.bench.registry import Settings
from evtok.bench.tokenize import SEED, sha256
from evtok.scoring import TokenHead, token_nll

Array = npt.NDArray[Any]

#: What scores may differ by from float64.
TOLERANCE = 1e-4
#: Rows that float64 is asked about, spread over all.
_VERIFIED = 1024

_CHAIN, _LOSS = "torch linear, log_softmax, gather", "torch linear, cross_entropy"


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield the one case of the shape: hidden rows (rows, d) against weights (vocab, d)."""
    hidden, weight, bias, targets = make_rows(shape)
    n, threads = len(hidden), settings.threads
    head = TokenHead(weight, bias)
    contestants = [
        Contestant(
            "evtok",
            lambda: token_nll(hidden, weight, bias, targets, threads=threads),
            *("ours", _core.version, threads),
        ),
        Contestant(
            "evtok, TokenHead",
            lambda: head.nll(hidden, targets, threads=threads),
            "ours",
            _core.version,
            threads,
        ),
    ]
    absent = []
    if settings.peers and (version := version_of("torch")) is None:
        absent.append("torch")
    elif settings.peers:
        contestants += [
            Contestant(name, run, "peer", version or "", threads, exact=False)
            for name, run in _torch_calls(hidden, weight, bias, targets, threads)
        ]
    peaks = {c.name: peak_extra_bytes(c.run) for c in contestants}
    every = max(1, n // _VERIFIED)
    yield Case(
        "score",
        shape["name"],
        f"V={len(weight)} d={weight.shape[1]}, linear to likelihood",
        "rows",
        n,
        [*contestants, multiply_add_limit(threads)],
        lambda: in_float64(hidden[::every], weight, bias, targets[::every]),
        f"NumPy in float64, to {TOLERANCE:g}, every {every}th row",
        {
            "seed": SEED,
            "sha256": sha256(hidden, weight, bias, targets),
            "bytes": hidden.nbytes + weight.nbytes,
            "peak_extra_bytes": peaks,
        },
        differences=lambda got, expected: count_far(got[::every], expected),
        operations_per_unit={"one multiply-add for each weight": 2.0 * weight.size},
        reach={_CHAIN: shape["reach"]} if "reach" in shape else {},
        absent=absent,
        notes=[f"peak memory beyond the arguments: {_megabytes(peaks)}"],
    )


def make_rows(shape: dict[str, Any]) -> tuple[Array, Array, Array, Array]:
    """Draw hidden rows (rows, d) as a layer norm gives them, weights (vocab, d), biases and targets."""
    rng = np.random.default_rng(SEED)
    n = shape.get("rows", shape["events"] * shape["length"])
    n_tokens, n_dims = shape["vocab"], shape["d"]
    hidden = rng.standard_normal((n, n_dims), np.float32)
    weight = rng.standard_normal((n_tokens, n_dims), np.float32) * np.float32(n_dims**-0.5)
    bias = rng.standard_normal(n_tokens, np.float32)
    return hidden, weight, bias, rng.integers(0, n_tokens, n)


def in_float64(hidden: Array, weight: Array, bias: Array, targets: Array) -> Array:
    """Return the likelihoods by NumPy in float64."""
    wide = weight.T.astype(np.float64)
    parts = []
    for start in range(0, len(hidden), 256):
        logits = hidden[start : start + 256].astype(np.float64) @ wide + bias
        most = logits.max(axis=1)
        total = np.log(np.exp(logits - most[:, None]).sum(axis=1)) + most
        parts.append(total - logits[np.arange(len(logits)), targets[start : start + 256]])
    return np.concatenate(parts)


def count_far(got: Any, expected: Array) -> int:
    """Count the likelihoods that differ by more than `TOLERANCE`; NaN differs from everything."""
    found = np.asarray(got)
    if found.shape != expected.shape:
        return max(found.size, expected.size, 1)
    return int(expected.size - np.count_nonzero(np.abs(found - expected) <= TOLERANCE))


def peak_extra_bytes(run: Callable[[], Any]) -> int | None:
    """Return how far a call raises the memory of this process; None where Linux does not tell."""
    _core.release_result_memory()  # a result of ours takes memory as others do
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
        before = _status("VmRSS")
        run()
        return max(0, _status("VmHWM") - before)
    except (OSError, LookupError):
        return None


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def _megabytes(peaks: dict[str, int | None]) -> str:
    return ", ".join(f"{name} {peak / 1e6:.1f} MB" for name, peak in peaks.items() if peak is not None)


def _torch_calls(
    hidden: Array, weight: Array, bias: Array, targets: Array, threads: int
) -> list[tuple[str, Callable[[], Any]]]:
    """Return what a user of torch writes, without gradients."""
    torch = import_module("torch")
    torch.set_num_threads(threads)
    h, w, b, t = (torch.from_numpy(array) for array in (hidden, weight, bias, targets))
    functional = torch.nn.functional

    def chain() -> Any:
        with torch.no_grad():
            likely = torch.log_softmax(functional.linear(h, w, b), dim=-1)
            return -likely.gather(1, t[:, None])[:, 0].numpy()

    def loss() -> Any:
        with torch.no_grad():
            return functional.cross_entropy(functional.linear(h, w, b), t, reduction="none").numpy()

    return [(_CHAIN, chain), (_LOSS, loss)]
