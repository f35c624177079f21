"""Ragged ids decode to ragged vectors: what `encode` makes of awkward lists, `decode` takes back (P10)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import evtok

ak = pytest.importorskip("awkward")

RNG = np.random.default_rng(5)
VECTORS = RNG.normal(size=(6, 3)).astype(np.float32)
LISTS = ak.unflatten(ak.from_numpy(VECTORS, regulararray=True), [2, 0, 3, 1])


def quantizers() -> list[Any]:
    stages = [RNG.normal(size=(k, 3)).astype(np.float32) for k in (8, 5)]
    return [evtok.FSQ([8, 5, 5]), evtok.LFQ(3), evtok.ResidualCodebook(stages)]


@pytest.mark.parametrize("quantizer", quantizers(), ids=lambda q: type(q).__name__)
def test_p10_ragged_ids_decode_to_ragged_vectors(quantizer: Any) -> None:
    ids = quantizer.encode(LISTS)
    vectors = quantizer.decode(ids)
    assert ak.num(vectors).tolist() == [2, 0, 3, 1]
    flat = quantizer.decode(quantizer.encode(VECTORS))
    assert np.array_equal(ak.to_numpy(ak.flatten(vectors)), flat)


def test_p10_a_codebook_decodes_ragged_ids() -> None:
    codes = RNG.normal(size=(16, 3)).astype(np.float32)
    codebook = evtok.Codebook(codes)
    vectors = codebook.decode(codebook.nearest(LISTS))
    assert ak.num(vectors).tolist() == [2, 0, 3, 1]
    assert np.array_equal(ak.to_numpy(ak.flatten(vectors)), codes[codebook.nearest(VECTORS)])


def test_ragged_ids_outside_the_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="got -1 to 3"):
        evtok.LFQ(3).decode(ak.Array([[1, -1], [], [3]]))
