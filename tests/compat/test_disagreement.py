"""P6: evtok and its peers choose different codes only where rounding cannot tell them apart. Exact arithmetic."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evtok
from evtok.compat.disagreement import (
    PEERS,
    Disagreement,
    Input,
    Peer,
    as_text,
    bounds,
    compare,
    disagreement,
    stated_inputs,
)

pytestmark = pytest.mark.peers

BY_NAME = {peer.name: peer for peer in PEERS}
NAMES = [data.name for data in stated_inputs(2, 2)]


@cache
def report(name: str) -> list[Disagreement]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compare(data for data in stated_inputs(4000, 512) if data.name == name)


def of(input_name: str, peer: str) -> Disagreement:
    if BY_NAME[peer].version is None:
        pytest.skip(f"{peer} is not installed")
    (row,) = (row for row in report(input_name) if row.peer == peer)
    return row


@pytest.mark.parametrize("name", NAMES)
def test_p6_every_disagreement_is_within_the_error_bound(name: str) -> None:
    rows = report(name)
    assert rows
    for row in rows:
        assert row.worst <= 1, row
        assert row.n_differ == row.n_tied + row.n_theirs_farther + row.n_ours_farther


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("peer", ["numpy.digitize", "numpy.searchsorted", "torch.bucketize"])
def test_p6_bins_never_differ(name: str, peer: str) -> None:
    assert of(name, peer).n_differ == 0


@pytest.mark.parametrize("name", NAMES)
def test_p6_sklearn_computes_in_float64_and_so_does_its_drop_in(name: str) -> None:
    assert of(name, "sklearn pairwise_distances_argmin").n_differ == 0


def test_rates_grow_with_the_distance_from_the_origin() -> None:
    """Not a promise of any peer, but what the report is for: a peer whose rate were 0 here would have been repaired."""
    for peer in ("scipy.cluster.vq.vq", "torch.cdist(...).argmin", "vector-quantize-pytorch eval"):
        assert of("Gaussian, D=8", peer).rate < 1e-3
        assert of("Gaussian at 1000, D=8", peer).rate > 0.3
        assert (
            of("Gaussian at 1000, D=8", peer).n_theirs_farther == of("Gaussian at 1000, D=8", peer).n_differ
        )


def test_ours_is_never_the_farther_code_where_float32_can_tell() -> None:
    for name in NAMES:
        for row in report(name):
            assert row.n_ours_farther <= row.n_rows * 1e-3, row


# ---- the report itself -------------------------------------------------------------------------------------------


def test_a_wrong_answer_is_not_explained_by_rounding() -> None:
    right = BY_NAME["faiss IndexFlatL2"]
    data = next(iter(stated_inputs(200, 16)))
    wrong = right._replace(theirs=lambda x, codes: (evtok.nearest(x, codes) + 1) % len(codes))
    assert disagreement(wrong, data).worst > 1
    also_wrong = right._replace(theirs=right.ours, ours=wrong.theirs)
    assert disagreement(also_wrong, data).worst > 1
    bins = BY_NAME["numpy.digitize"]
    assert disagreement(bins._replace(theirs=lambda x, codes: bins.ours(x, codes) + 1), data).worst == np.inf


def test_exact_ties_are_told_apart() -> None:
    x, codes = np.zeros((3, 1), np.float32), np.array([[1.0], [-1.0]], np.float32)
    last = BY_NAME["faiss IndexFlatL2"]._replace(theirs=lambda x, codes: np.ones(len(x), int))
    row = disagreement(last, Input("ties", x, codes))
    assert (row.n_differ, row.n_tied, row.worst) == (3, 3, 0.0)


def test_inputs_are_the_same_every_time() -> None:
    for a, b in zip(stated_inputs(50, 9, 3), stated_inputs(50, 9, 3), strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.codes, b.codes)
        assert (len(a.x), len(a.codes)) == (50, 9)
        assert a.x.dtype == a.codes.dtype


def test_a_peer_that_is_not_installed_is_left_out() -> None:
    missing = BY_NAME["numpy.digitize"]._replace(package="no-such-package")
    assert missing.version is None
    assert compare(stated_inputs(5, 2), [missing]) == []


vectors = st.lists(
    st.tuples(st.floats(-100, 100, width=32), st.floats(-100, 100, width=32)), min_size=1, max_size=6
)


@given(vectors)
def test_p5_bounds_hold(pairs: list[tuple[float, float]]) -> None:
    """The bounds of the formulas, computed here in float32 by NumPy (in any order), against rational arithmetic."""
    x, code = (np.array(values, np.float32) for values in zip(*pairs, strict=True))
    tiny = Fraction(len(x) * 4, 2**149)  # underflow, which the bounds leave out
    exact = bounds.squared_distance(x, code)
    assert exact == sum(
        ((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x, code, strict=True)), 0
    )
    product = -sum(
        (Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, code, strict=True)), Fraction(0)
    )
    assert bounds.negative_product(x, code) == product
    unit = bounds.UNIT_FLOAT32
    direct = Fraction(float(((x - code) ** 2).sum()))
    assert abs(direct - exact) <= bounds.direct(x, code, unit) + tiny
    expanded = Fraction(float((x * x).sum() + (code * code).sum() - np.float32(2) * (x * code).sum()))
    assert abs(expanded - exact) <= bounds.expanded(x, code, unit) + tiny
    inner = Fraction(float((x * code).sum()))
    assert abs(inner + product) <= bounds.product(x, code, unit) + tiny
    (ours,) = evtok.nearest(x[None], code[None], return_distance=True)[1]
    assert abs(Fraction(float(ours)) - exact) <= bounds.direct(x, code, unit) + tiny


def test_text_and_json() -> None:
    rows = report("Gaussian, D=4")
    text = as_text([replace(rows[0], n_differ=10, n_rows=1000)])
    assert rows[0].input in text
    assert rows[0].why in text
    assert " 1 " in text  # per cent
    command = [sys.executable, "-m", "evtok.compat.disagreement", "--rows", "30", "--codes", "4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert {row["input"] for row in found} == set(NAMES)
    assert all(row["worst"] <= 1 and row["n_rows"] == 30 and row["version"] for row in found)


def test_arguments_are_checked() -> None:
    command = [sys.executable, "-m", "evtok.compat.disagreement", "--rows", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "expected at least 1" in done.stderr


def test_every_peer_says_why() -> None:
    peer: Peer
    for peer in PEERS:
        assert len(peer.why) > 20
        assert (peer.distance is None) == (peer.their_bound is None) == (peer.our_bound is None)
