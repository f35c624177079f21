"""k-means: compared with == to a definition in pure Python, and in its quality with scikit-learn."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import python_process
from evtok import reference_training
from evtok.codebook import seeding
from evtok.codebook.chunks import Chunks
from evtok.codebook.codebook import Codebook
from evtok.codebook.empty_codes import FarthestRows, fill_empty_codes
from evtok.codebook.fit import fit_codebook


def clusters(n: int = 3000, n_dims: int = 3, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, n_dims)) * 3
    return (centres[rng.integers(0, 20, n)] + rng.normal(size=(n, n_dims)) / 3).astype(dtype)


def bits(codebook: Codebook) -> tuple[str, bytes]:
    return codebook.dtype.name, codebook.vectors.tobytes()


# ---- drawing -----------------------------------------------------------------------------------------------


def test_the_generator_is_philox() -> None:
    """Known answers of Random123, and the same numbers from the definition and from NumPy."""
    assert reference_training.philox((0, 0), 0) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]
    for seed, stream in ((0, 0), (1, 2), (2**64 - 1, 2**63)):
        assert seeding.uniforms(seed, stream, 13).tolist() == reference_training.uniforms(seed, stream, 13)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_does_not_fit_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=r"seed: expected 0 to 2\*\*64 - 1"):
        fit_codebook(clusters(), 4, seed)


@given(st.integers(1, 200), st.data())
def test_rows_are_drawn_once_each_and_in_order(n: int, data: st.DataObject) -> None:
    n_drawn = data.draw(st.integers(1, n))
    u = data.draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=n_drawn, max_size=n_drawn))
    rows = seeding.draw_rows(n, n_drawn, np.array(u))
    assert rows.tolist() == reference_training.draw_rows(n, u)
    assert (np.diff(rows) > 0).all()
    assert rows[0] >= 0
    assert rows[-1] < n


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(0, 1e30)), min_size=1, max_size=30),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=5),
)
def test_rows_drawn_by_weight_are_those_of_the_definition(weights: list[float], u: list[float]) -> None:
    drawn = seeding.draw_by_weight(np.array(weights), np.array(u)).tolist()
    assert drawn == reference_training.draw_by_weight(weights, u)
    assert all(weights[row] > 0 for row in drawn)
    assert len(drawn) == (len(u) if any(weights) else 0)


def test_rows_are_drawn_in_proportion_to_their_weights() -> None:
    weights = np.array([1.0, 0.0, 3.0, 4.0])
    counts = np.zeros(4)
    for stream in range(4000):
        counts[seeding.draw_by_weight(weights, seeding.uniforms(1, stream, 1))] += 1
    assert counts[1] == 0
    assert np.abs(counts / 4000 - weights / 8).max() < 0.03  # four standard deviations


def test_candidates_that_are_accepted_have_the_probabilities_of_kmeans_plus_plus() -> None:
    """Three codes among four rows: compared with the probabilities of drawing them one by one."""
    x = np.array([[0.0], [1.0], [3.0], [7.0]])

    def probabilities(codes: tuple[int, ...], share: float) -> dict[tuple[int, ...], float]:
        if len(codes) == 3:
            return {codes: share}
        squares = [min((a - x[c, 0]) ** 2 for c in codes) for a in x[:, 0]]
        parts = [probabilities((*codes, i), share * s / sum(squares)) for i, s in enumerate(squares) if s]
        return {chain: value for part in parts for chain, value in part.items()}

    expected = {chain: value for first in range(4) for chain, value in probabilities((first,), 0.25).items()}
    counts = dict.fromkeys(expected, 0)
    for seed in range(3000):
        codes = seeding.kmeans_plus_plus(x, 3, seed, 1)
        counts[tuple(x[:, 0].tolist().index(code) for code in codes[:, 0])] += 1
    for chain, share in expected.items():
        assert abs(counts[chain] / 3000 - share) < 4.5 * math.sqrt(share * (1 - share) / 3000)


@pytest.mark.parametrize("n_candidates", [1, 5])
def test_codes_to_start_from_are_those_of_the_definition(
    n_candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeding, "_CANDIDATES", n_candidates)
    monkeypatch.setattr(seeding, "_MOST_CANDIDATES", n_candidates)
    x = np.random.default_rng(0).normal(size=(40, 3))
    codes = reference_training.kmeans_plus_plus(
        x, 12, 7, lambda codes: exact_assignment(x, codes), n_candidates
    )
    assert seeding.kmeans_plus_plus(x, 12, 7, None).tobytes() == codes.tobytes()


def test_kmeans_plus_plus_draws_different_rows_of_the_data() -> None:
    x = np.repeat(clusters(400), 2, axis=0)
    codes = seeding.kmeans_plus_plus(x, 300, 3, None)
    assert len(np.unique(codes, axis=0)) == 300
    assert {row.tobytes() for row in codes} <= {row.tobytes() for row in x}
    assert len(seeding.kmeans_plus_plus(x, 500, 3, None)) == len(np.unique(x, axis=0)) == 400


# ---- Lloyd -------------------------------------------------------------------------------------------------


def exact_assignment(x: np.ndarray, codes: np.ndarray) -> tuple[list[int], list[float]]:
    """The specification of the nearest code in rational numbers, rounded as IEEE 754 does, for float64."""
    ids, distances = [], []
    for row in x.tolist():
        sums = []
        for code in codes.tolist():
            s = 0.0
            for a, b in zip(row, code, strict=True):
                t = Fraction(a - b)
                s = float(t * t + Fraction(s))  # int / int and float(Fraction) round correctly
            sums.append(s)
        distances.append(min(sums))
        ids.append(sums.index(min(sums)))
    return ids, distances


@pytest.mark.parametrize("seed", range(4))
def test_codes_are_those_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 2)) if seed % 2 else rng.integers(-3, 4, (60, 2)).astype(float)  # with ties
    start = np.concatenate([x[:5], x[:2], [[100.0, 100.0]]])  # three codes without rows
    codes, inertia, replaced = reference_training.kmeans(
        x, start, lambda codes: exact_assignment(x, codes), 20, 1e-3
    )
    codebook, report = fit_codebook(x, 8, init=start, max_iterations=20, tolerance=1e-3, return_report=True)
    assert codebook.vectors.tobytes() == codes.tobytes()
    assert report.inertia == tuple(inertia)
    assert report.replaced == replaced > 0
    assert report.n_seeding == 0


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("init", ["kmeans++", "random"])
def test_the_inertia_falls_and_belongs_to_the_codebook(init: str, metric: Any) -> None:
    x = clusters(5000)
    codebook, report = fit_codebook(x, 60, init=init, metric=metric, return_report=True)
    assert report.converged
    assert report.dead == 0
    assert report.iterations == len(report.inertia) > 1
    assert all(b <= a for a, b in zip(report.inertia[:-1], report.inertia[1:], strict=True))
    assert codebook.metric == metric
    if metric == "cosine":
        lengths = np.linalg.norm(codebook.vectors.astype(float), axis=1)
        assert np.abs(lengths - 1).max() < 1e-6
        x = (x / np.linalg.norm(x.astype(float), axis=1, keepdims=True)).astype(np.float32)
    distances = Codebook(codebook.vectors).nearest(x, return_distance=True)[1]
    assert math.isclose(math.fsum(distances.tolist()), report.inertia[-1], rel_tol=1e-5)


def test_each_code_is_the_mean_of_its_rows_at_the_end() -> None:
    x = clusters(2000, dtype=np.float64)
    codebook, report = fit_codebook(x, 20, tolerance=0, max_iterations=1000, return_report=True)
    assert report.converged
    ids = codebook.nearest(x)
    for code in range(20):
        mean = [math.fsum(column) / len(column) for column in x[ids == code].T]
        assert np.allclose(codebook.vectors[code], mean, rtol=1e-12, atol=1e-14)


def test_as_many_codes_as_rows_are_the_rows() -> None:
    x = clusters(200)
    codebook, report = fit_codebook(x, 200, return_report=True)
    assert {row.tobytes() for row in codebook.vectors} == {row.tobytes() for row in x}
    assert report.inertia[-1] == 0


def test_one_code_is_the_mean() -> None:
    x = clusters(500)
    expected = np.add.accumulate(x.astype(float))[-1] / 500
    assert np.array_equal(fit_codebook(x, 1).vectors[0], expected.astype(np.float32))


def test_dtypes_of_the_rows_decide_that_of_the_codes() -> None:
    x = clusters(300)
    half = x.astype(np.float16)
    assert bits(fit_codebook(half, 9)) == bits(fit_codebook(half.astype(np.float32), 9))
    assert fit_codebook(x, 9).dtype == np.float32
    assert fit_codebook(x.astype(float), 9).dtype == np.float64
    assert fit_codebook(np.arange(60).reshape(20, 3), 4).dtype == np.float64


def test_p15_layouts_give_the_codes_of_the_contiguous_copy() -> None:
    x = clusters(500)
    expected = bits(fit_codebook(x, 9))
    wide = np.zeros((1000, 6), np.float32)
    wide[::2, ::2] = x
    for same in (np.asfortranarray(x), wide[::2, ::2], x.astype(">f4"), x[::-1].copy()[::-1], x.tolist()):
        dtype_given = same if isinstance(same, np.ndarray) else np.array(same, np.float32)
        assert bits(fit_codebook(dtype_given, 9)) == expected
    torch = pytest.importorskip("torch")
    assert bits(fit_codebook(torch.from_numpy(x), 9)) == expected


# ---- empty codes -------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 9), st.lists(st.integers(0, 60), max_size=4))
@settings(deadline=None)
def test_the_farthest_rows_do_not_depend_on_the_pieces(values: list[int], size: int, cuts: list[int]) -> None:
    distances = np.array(values, np.float32)
    rows = np.arange(len(values), dtype=np.float32)[:, None]
    farthest = FarthestRows(size)
    for part in np.split(np.arange(len(values)), sorted(cuts)):
        farthest.add(rows[part], part.astype(np.int32), distances[part])
    wanted = sorted((i for i, s in enumerate(values) if s > 0), key=lambda i: (-values[i], i))[:size]
    assert farthest.ids.tolist() == wanted
    assert farthest.vectors.ravel().tolist() == wanted


def test_a_code_keeps_its_last_row_and_a_vector_is_taken_once() -> None:
    rows = np.array([[9.0], [8.0], [8.0], [7.0], [1.0]])
    farthest = FarthestRows(9)
    farthest.add(rows, np.array([0, 1, 1, 1, 1], np.int32), np.array([9.0, 8, 8, 7, 1]))
    counts, sums = np.array([1, 4, 0, 0, 0]), np.array([[9.0], [24], [0], [0], [0]])
    assert fill_empty_codes(counts, sums, farthest).tolist() == [2, 3, 4]
    assert counts.tolist() == [1, 1, 1, 1, 1]
    assert sums.ravel().tolist() == [9, 8, 8, 7, 1]


def test_no_codebook_with_empty_codes_has_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evtok.codebook.kmeans._MOST_FILLED", 1)
    x = clusters(500)
    start = np.concatenate(
        [x[:1], np.full((5, 3), 1e3, np.float32)]
    )  # five without rows; a pass can move one
    report = fit_codebook(x, 6, init=start, tolerance=1, return_report=True)[1]
    assert report.converged
    assert report.dead == 0
    assert report.iterations >= 6


def test_empty_codes_move_to_rows_that_are_far_away() -> None:
    x = np.concatenate([clusters(500), np.array([[50, 50, 50], [50, 50, 50], [-50, 0, 0]], np.float32)])
    start = np.repeat(x[:1], 6, axis=0)  # five codes that get no row
    codebook, report = fit_codebook(x, 6, init=start, return_report=True)
    assert report.replaced >= 5
    assert report.dead == 0
    assert {(50.0, 50.0, 50.0), (-50.0, 0.0, 0.0)} <= {tuple(code) for code in codebook.vectors.tolist()}


# ---- sources -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [None, 700])
def test_p14_codes_do_not_depend_on_how_the_rows_are_cut(batch: int | None) -> None:
    x = clusters(4000)
    expected, report = fit_codebook(x, 40, batch=batch, max_iterations=8, return_report=True)
    for n_parts in (1, 3, 40):
        parts = np.array_split(x, n_parts)

        def read(parts: list[np.ndarray] = parts) -> Iterator[np.ndarray]:
            yield from parts
            yield x[:0]

        for source in (parts, tuple(parts), read):
            result = fit_codebook(source, 40, batch=batch, max_iterations=8, return_report=True)
            assert bits(result[0]) == bits(expected)
            assert result[1] == report


def test_pieces_are_bounded_and_batches_have_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evtok.codebook.chunks._ROWS_AT_ONCE", 16)
    x = np.arange(300, dtype=np.float32).reshape(100, 3)
    chunks = Chunks([x[:37], x[37:38], x[38:]])
    assert chunks.count() == 100
    assert [start for start, _ in chunks] == [0, 16, 32, 37, 38, 54, 70, 86]
    assert np.array_equal(np.concatenate([rows for _, rows in chunks]), x)
    batches = list(chunks.batches(30))
    assert [start for start, _ in batches] == [0, 30, 60, 90]
    assert [len(rows) for _, rows in batches] == [30, 30, 30, 10]
    assert np.array_equal(np.concatenate([rows for _, rows in batches]), x)
    wanted = np.array([0, 36, 37, 38, 99])
    assert np.array_equal(chunks.take(wanted), x[wanted])


@pytest.mark.parametrize(("seed", "k"), [(0, 8), (1, 8), (39, 24), (184, 16), (211, 24)])
def test_mini_batches_are_those_of_the_definition(seed: int, k: int) -> None:
    """With the last three a code that had rows loses all of them: then its earlier rows do not count any more."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (48, 2)) + rng.integers(0, 2, (48, 2)) / 64
    start = x[reference_training.draw_rows(48, reference_training.uniforms(seed, 0, k))]
    codebook, report = fit_codebook(
        x, k, seed, "random", 7, max_iterations=3, tolerance=0, return_report=True
    )
    assert report.iterations == 3
    assert not report.converged
    codes, inertia, replaced = reference_training.mini_batch_kmeans(
        x, start, lambda codes: exact_assignment(x, codes), 7, 3
    )
    assert report.inertia == tuple(inertia)
    assert report.replaced == replaced
    assert codebook.vectors.tobytes() == codes.tobytes()


@pytest.mark.parametrize("batch", [None, 70, 250])
def test_a_source_may_refill_one_array(batch: int | None) -> None:
    x = clusters(1000)

    def source() -> Iterator[np.ndarray]:
        buffer = np.empty((100, 3), np.float32)
        for start in range(0, 1000, 100):
            buffer[:] = x[start : start + 100]
            yield buffer

    assert bits(fit_codebook(source, 8, batch=batch)) == bits(fit_codebook(x, 8, batch=batch))


def test_mini_batches_come_close_to_all_rows_at_once() -> None:
    x = clusters(20_000)
    full = fit_codebook(x, 50, return_report=True)[1]
    codebook, report = fit_codebook(x, 50, batch=1000, return_report=True)
    distances = codebook.nearest(x, return_distance=True)[1]
    assert report.dead == 0
    assert math.fsum(distances.tolist()) < 1.1 * full.inertia[-1]


def test_mini_batches_move_empty_codes() -> None:
    x = clusters(2000)
    start = np.concatenate([x[:17], np.full((3, 3), 1e3, np.float32)])  # three codes that get no row
    codebook, report = fit_codebook(x, 20, init=start, batch=250, max_iterations=1, return_report=True)
    assert report.dead == report.replaced == 3
    codebook, report = fit_codebook(x, 20, init=start, batch=250, return_report=True)
    assert report.dead == 0
    assert np.bincount(codebook.nearest(x), minlength=20).all()


# ---- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("batch", [None, 64])
def test_rows_that_are_not_finite_are_refused_by_number(value: float, batch: int | None) -> None:
    x = clusters(1000)
    x[777, 1] = value
    for source in (x, [x[:500], x[500:]]):
        with pytest.raises(ValueError, match="x: row 777 holds NaN or infinity"):
            fit_codebook(source, 4, batch=batch)


def test_rows_without_a_direction_are_refused_for_cosine() -> None:
    x = clusters(1000)
    x[123] = 0
    with pytest.raises(ValueError, match="x: row 123 has no direction"):
        fit_codebook(x, 4, metric="cosine")


@pytest.mark.parametrize("init", ["kmeans++", "random"])
@pytest.mark.parametrize("batch", [None, 50])
def test_fewer_different_rows_than_codes_are_refused(init: str, batch: int | None) -> None:
    x = np.repeat(clusters(7), 30, axis=0)
    with pytest.raises(ValueError, match="x: expected at least k = 8 different rows, got 7"):
        fit_codebook(x, 8, init=init, batch=batch)
    assert len(fit_codebook(x, 7, init=init, batch=batch)) == 7
    with pytest.raises(ValueError, match="x: expected at least k = 300 rows, got 210"):
        fit_codebook(x, 300, init=init, batch=batch)
    with pytest.raises(ValueError, match="x: expected at least k = 3 rows, got 0"):
        fit_codebook(x[:0], 3)


def test_wrong_arguments_are_named() -> None:
    x = clusters(50)
    with pytest.raises(TypeError, match="an iterator can be read only once"):
        fit_codebook(iter([x]), 3)
    with pytest.raises(ValueError, match=r"x: expected arrays of shape \(n, D\), got \(50,\)"):
        fit_codebook(x[:, 0], 3)
    with pytest.raises(ValueError, match=r"x: expected 3 columns as in the first array, got 2 \(array 1\)"):
        fit_codebook([x, x[:, :2]], 3)
    with pytest.raises(TypeError, match="x: expected one dtype, got float64 in array 1"):
        fit_codebook([x, x.astype(float)], 3)
    with pytest.raises(TypeError, match="x: expected real numbers"):
        fit_codebook(x.astype(complex), 3)
    with pytest.raises(TypeError, match="x: expected an array"):
        fit_codebook(3.0, 3)
    with pytest.raises(TypeError, match="expected a function that returns arrays"):
        fit_codebook(lambda: 3, 3)
    with pytest.raises(ValueError, match=r"init: expected shape \(3, 3\), got \(4, 3\)"):
        fit_codebook(x, 3, init=x[:4])
    with pytest.raises(ValueError, match="init: code 1 holds NaN"):
        fit_codebook(x, 3, init=[[0, 0, 0], [0, np.nan, 0], [0, 0, 0]])
    for argument, value in (
        ("k", 0),
        ("init", "pca"),
        ("batch", 0),
        ("metric", "dot"),
        ("max_iterations", 0),
        ("tolerance", -1.0),
        ("tolerance", float("nan")),
    ):
        with pytest.raises(ValueError, match=f"{argument}: expected"):
            fit_codebook(x, **{"k": 3, argument: value})
    for argument, value in (
        ("k", 5.0),
        ("k", None),
        ("seed", 1.5),
        ("seed", "1"),
        ("batch", 1.5),
        ("max_iterations", 2.0),
    ):
        with pytest.raises(TypeError, match=f"{argument}: expected an integer, got {value!r}"):
            fit_codebook(x, **{"k": 3, argument: value})
    assert bits(fit_codebook(x, np.int16(3), np.uint64(1), batch=np.int32(20))) == bits(
        fit_codebook(x, 3, 1, batch=20)
    )


# ---- promises ----------------------------------------------------------------------------------------------

FIT = """
import hashlib, json
import evtok.codebook as codebook

def fingerprints(threads):
    rng = np.random.default_rng(5)
    parts = [rng.normal(size=(9000, 3)), rng.normal(size=(500, 3)) * 1e-3 + 4, rng.integers(-2, 3, (500, 3))]
    x = np.concatenate(parts)
    results = []
    for dtype in (np.float32, np.float64):
        for options in ({}, {"batch": 900}, {"metric": "cosine", "init": "random"}):
            rows = x.astype(dtype)
            rows = rows[np.abs(rows).max(axis=1) > 0]
            fitted, report = codebook.fit_codebook(
                rows, 150, 3, max_iterations=5, threads=threads, return_report=True, **options)
            digest = hashlib.sha256(fitted.vectors.tobytes() + repr(report).encode()).hexdigest()
            results.append((str(fitted.dtype), digest))
    return results

print(json.dumps(fingerprints(None)))
"""


def test_p14_p2_codes_are_the_same_bits_for_any_threads_and_instruction_set() -> None:
    from evtok import _core

    isas = [isa for isa in _core.available_isas() if isa in ("scalar", "avx2", "avx512")]
    runs = [(isa, "2") for isa in isas] + [(isas[-1], threads) for threads in ("1", "3", "8")]
    results = {}
    for isa, threads in runs:
        done = python_process.run(FIT, EVTOK_ISA=isa, EVTOK_NUM_THREADS=threads)
        assert done.returncode == 0, done.stderr
        results[isa, threads] = json.loads(done.stdout)
    first = next(iter(results.values()))
    assert len({digest for _, digest in first}) == 6  # the settings do matter
    assert all(result == first for result in results.values())


def test_the_seed_decides() -> None:
    x = clusters(1000)
    assert bits(fit_codebook(x, 30, 1)) == bits(fit_codebook(x, 30, 1))
    assert bits(fit_codebook(x, 30, 1)) != bits(fit_codebook(x, 30, 2))


def test_p9_a_callers_rounding_mode_does_not_reach_the_codes() -> None:
    code = """
    import ctypes, hashlib
    import evtok.codebook as codebook
    x = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    libm = ctypes.CDLL("libm.so.6")
    print(hashlib.sha256(codebook.fit_codebook(x, 20).vectors.tobytes()).hexdigest())
    libm.fesetround(0x800)  # upward on x86
    upward = codebook.fit_codebook(x, 20).vectors.tobytes()
    still = libm.fegetround()
    libm.fesetround(0)
    print(hashlib.sha256(upward).hexdigest(), still)
    """
    import platform

    if platform.machine() != "x86_64":
        pytest.skip("the number of the rounding mode is that of x86")
    to_nearest, upward, mode = python_process.lines(code)
    assert to_nearest == upward
    assert int(mode) == 0x800


# ---- real data ---------------------------------------------------------------------------------------------


def constituents(test_data: Path) -> np.ndarray:
    """log pT, delta eta and delta phi of the constituents of jets, each of unit spread (m, 3) float32."""
    folder = test_data / "real" / "jets"
    points, vectors = np.load(folder / "jetclass_points.npy"), np.load(folder / "jetclass_vectors.npy")
    there = np.load(folder / "jetclass_mask.npy")[:, 0] > 0
    log_pt = np.log(np.hypot(vectors[:, 0], vectors[:, 1])[there])
    x = np.stack([log_pt, points[:, 0][there], points[:, 1][there]], axis=1)
    return ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)


@pytest.mark.data
@pytest.mark.peers
@pytest.mark.parametrize("k", [16, 128])
def test_the_inertia_on_jets_is_that_of_scikit_learn_within_a_few_per_cent(test_data: Path, k: int) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    x = constituents(test_data)[:40_000]
    peer = cluster.KMeans(k, n_init=1, random_state=0, max_iter=100).fit(x)
    for options in ({}, {"batch": 4096}):
        codebook = fit_codebook(x, k, **options)
        distances = codebook.nearest(x, return_distance=True)[1]
        assert math.fsum(distances.tolist()) < 1.03 * peer.inertia_
