"""Merging collections is exact: the result equals the readable definition, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evtok import _core, reference
from evtok.io.merge import Collection, merge


def collections(seed: int, n_events: int, n_collections: int) -> list[Collection]:
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n_collections):
        offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 4, n_events))]).astype(
            [np.int64, np.int32][k % 2]
        )
        values = rng.normal(size=int(offsets[-1])).astype([np.float32, np.float64][k % 2])
        values[::3] = np.nan
        made.append(Collection(offsets, {"pt": values, "mass": -0.0 if k else values * 2, "type": k}))
    return made


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_events=st.sampled_from([0, 1, 2, 511, 512, 513, 5000]),
    n_collections=st.integers(1, 5),
    threads=st.integers(1, 7),
)
def test_merge_equals_its_definition(seed: int, n_events: int, n_collections: int, threads: int) -> None:
    given_collections = collections(seed, n_events, n_collections)
    dtypes = {"pt": np.dtype(np.float64), "mass": np.dtype(np.float32), "type": np.dtype(np.uint8)}
    offsets, columns = merge(given_collections, dtypes, threads)
    expected_offsets, expected = reference.merge_collections(
        [(c.offsets, c.columns) for c in given_collections], dtypes
    )
    assert offsets.tobytes() == expected_offsets.tobytes()
    for name, dtype in dtypes.items():
        assert columns[name].dtype == dtype
        assert columns[name].tobytes() == expected[name].tobytes()


def test_one_collection_is_not_copied() -> None:
    values = np.arange(6, dtype=np.float32)
    offsets, columns = merge(
        [Collection(np.array([0, 2, 6]), {"pt": values, "type": 3})],
        {"pt": np.dtype(np.float32), "type": np.dtype(np.uint8)},
    )
    assert np.shares_memory(columns["pt"], values)
    assert columns["type"].tolist() == [3] * 6
    assert offsets.tolist() == [0, 2, 6]


def test_the_kernel_refuses_arrays_that_do_not_fit() -> None:
    offsets, values = np.array([0, 2, 3]), np.zeros(3, np.float32)
    merged, out = np.empty(3, np.int64), np.empty(3, np.float32)
    with pytest.raises(ValueError, match="shorter than the offsets"):
        _core.ragged_merge([offsets], merged, [(out, [values[:2]])], 1)
    with pytest.raises(TypeError, match="dtype of the result"):
        _core.ragged_merge([offsets], merged, [(out, [values.astype(np.float64)])], 1)
    with pytest.raises(ValueError, match=r"columns: expected shape \(3,\)"):
        _core.ragged_merge([offsets], merged, [(out[:2], [values])], 1)
    with pytest.raises(ValueError, match="one source for each collection"):
        _core.ragged_merge([offsets], merged, [(out, [])], 1)
    with pytest.raises(TypeError, match="int64 or int32"):
        _core.ragged_merge([offsets.astype(np.float64)], merged, [(out, [values])], 1)
    with pytest.raises(ValueError, match="at least one collection"):
        _core.ragged_merge([], merged, [], 1)
