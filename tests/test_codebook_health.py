"""The health report of a codebook: counts with ==, errors and perplexity against sums in rational numbers."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import python_process
from evtok import reference_training
from evtok.codebook.codebook import Codebook
from evtok.codebook.health import CodebookHealth, health
from evtok.codebook.health_counts import MARGIN_EDGES


def vectors(n: int = 400, n_dims: int = 3, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n_dims)).astype(dtype)


def same(a: CodebookHealth, b: CodebookHealth) -> bool:
    return json.dumps(a.to_dict()) == json.dumps(b.to_dict())


def test_usage_perplexity_and_dead_codes() -> None:
    x = np.array([[0.0]] * 5 + [[1.0]] * 2 + [[2.0]])
    report = Codebook([[0.0], [1.0], [2.0], [50.0], [-50.0]]).health(x)
    assert report.usage.tolist() == [5, 2, 1, 0, 0]
    assert report.dead_codes.tolist() == [3, 4]
    shares = [5 / 8, 2 / 8, 1 / 8]
    assert math.isclose(report.perplexity, math.exp(-sum(p * math.log(p) for p in shares)), rel_tol=1e-15)
    assert math.isclose(report.perplexity, reference_training.perplexity([5, 2, 1, 0, 0]), rel_tol=1e-15)
    assert report.error == 0


def test_perplexity_lies_between_one_and_the_number_of_codes() -> None:
    codes = Codebook(np.arange(7.0)[:, None])
    assert codes.health(np.full((90, 1), 3.0)).perplexity == 1
    assert math.isclose(codes.health(np.arange(7.0)[:, None]).perplexity, 7, rel_tol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_errors_are_those_of_each_dimension(dtype: Any) -> None:
    x, codes = vectors(dtype=dtype), vectors(10, seed=1, dtype=dtype)
    report = Codebook(codes).health(x)
    ids = Codebook(codes).nearest(x)
    for j in range(3):
        squares = [
            (Fraction(a) - Fraction(b)) ** 2
            for a, b in zip(x[:, j].tolist(), codes[ids, j].tolist(), strict=True)
        ]
        assert math.isclose(report.errors[j], float(sum(squares) / len(squares)), rel_tol=1e-13)
    assert math.isclose(report.error, report.errors.sum(), rel_tol=1e-15)


def relative_margins(x: np.ndarray, codes: np.ndarray, metric: str) -> list[float]:
    """By sorting all distances, or products, in float64."""
    margins = []
    for row in x.astype(float):
        if metric == "l2":
            first, second = np.sort(((row - codes.astype(float)) ** 2).sum(axis=1))[:2]
            margins.append((second - first) / (second + first))
        else:
            length = np.linalg.norm(codes.astype(float), axis=1, keepdims=True) if metric == "cosine" else 1
            second, first = np.sort((codes.astype(float) / length) @ row)[-2:]
            margins.append((first - second) / (abs(first) + abs(second)))
    return margins


@pytest.mark.parametrize("metric", ["l2", "cosine", "dot"])
def test_margins_are_relative_to_both_codes(metric: Any) -> None:
    x, codes = vectors(dtype=np.float64), vectors(30, seed=1, dtype=np.float64)
    report = Codebook(codes, metric=metric).health(x)
    expected = np.histogram(relative_margins(x, codes, metric), MARGIN_EDGES)[0]
    assert report.margins.tolist() == expected.tolist()
    assert report.margins.sum() == report.n_rows == 400
    assert report.n_ties == 0


def test_ties_and_exact_hits_are_the_ends_of_the_margins() -> None:
    report = Codebook([[0.0], [2.0], [2.0]]).health(np.array([[1.0], [0.0], [2.0], [1e-30], [9.0]]))
    assert report.n_ties == 3  # at 1 between two codes, at 2 and at 9 between equal ones
    assert report.margins[0] == 3
    assert report.margins[-1] == 2
    assert report.usage.tolist() == [3, 2, 0]


def test_a_margin_on_a_border_belongs_above_it() -> None:
    report = Codebook([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).health(np.zeros((1, 3)))  # (3 - 1) / (3 + 1)
    assert report.margins.tolist().index(1) == MARGIN_EDGES.index(0.5)


def test_a_second_code_out_of_reach_is_no_tie() -> None:
    largest = np.finfo(np.float32).max
    report = Codebook(np.array([[0], [largest]], np.float32)).health(np.ones((3, 1), np.float32))
    assert report.margins[-1] == 3
    assert report.n_ties == 0


def test_cosine_compares_directions() -> None:
    x = vectors() * np.float32(7)
    codes = vectors(10, seed=1)
    report = Codebook(codes, metric="cosine").health(x)
    ids = Codebook(codes, metric="cosine").nearest(x)
    units = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x.astype(float), codes.astype(float))]
    assert np.allclose(report.errors, ((units[0] - units[1][ids]) ** 2).mean(axis=0), rtol=1e-12)


# ---- near-duplicates ---------------------------------------------------------------------------------------


def test_near_duplicate_codes_are_found() -> None:
    codes = np.array([0, 1, 2, 3, 3.001, 5, 1, 1, 10, 12, 14])[:, None]
    report = Codebook(codes).health(vectors(5, 1, np.float64))
    assert report.spacing == 1  # the median of 1, 0, 1, 0.001, 0.001, 1.999, 0, 0, 2, 2, 2
    assert report.duplicates.tolist() == [[1, 6], [1, 7], [3, 4]]
    assert np.allclose(report.duplicate_distances, [0, 0, 0.001])
    assert Codebook(codes).health(vectors(5, 1, np.float64), near_duplicate=0).duplicates.tolist() == [
        [1, 6],
        [1, 7],
    ]
    assert report.near_duplicate == 0.01


def test_near_duplicates_of_cosine_are_directions() -> None:
    codes = np.array([[1.0, 0.0], [5.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert Codebook(codes, metric="cosine").health(vectors(9, 2, np.float64)).duplicates.tolist() == [[0, 1]]
    assert Codebook(codes).health(vectors(9, 2, np.float64)).duplicates.tolist() == []


def test_the_nearest_other_code_is_found_by_brute_force_too() -> None:
    codes = np.round(vectors(200, 2, np.float64), 1)  # many equal ones
    report = Codebook(codes).health(vectors(5, 2, np.float64), near_duplicate=0.5)
    distances = np.sqrt(((codes[:, None] - codes[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distances, np.inf)
    closest = distances.min(axis=1)
    assert math.isclose(report.spacing, np.median(closest), rel_tol=1e-12)
    assert set(report.duplicates.ravel().tolist()) >= set(np.flatnonzero(closest == 0).tolist())
    for (a, b), distance in zip(report.duplicates.tolist(), report.duplicate_distances, strict=True):
        assert a < b
        assert math.isclose(distances[a, b], distance, rel_tol=1e-12)


# ---- rows that do not count, sources -----------------------------------------------------------------------


def test_masked_and_invalid_rows_are_counted_apart() -> None:
    x = vectors(100)
    codebook = Codebook(vectors(10, seed=1))
    expected = codebook.health(x[10:50])
    mixed = x.copy()
    mixed[:10] = np.nan
    mixed[3, 0] = np.inf
    mask = np.arange(100) < 50
    mask[4] = False
    report = codebook.health(mixed.reshape(5, 20, 3), mask=mask.reshape(5, 20))
    assert (report.n_rows, report.n_masked, report.n_invalid) == (40, 51, 9)
    assert np.array_equal(report.usage, expected.usage)
    assert np.array_equal(report.margins, expected.margins)
    assert np.array_equal(report.errors, expected.errors)


def test_p14_reports_do_not_depend_on_pieces_nor_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    x = vectors(1000)
    codebook = Codebook(vectors(40, seed=1))
    expected = codebook.health(x)
    parts = np.array_split(x, 7)

    def read() -> Iterator[np.ndarray]:
        yield from parts

    for source in (parts, tuple(parts), read, read(), x.reshape(10, 100, 3)):
        assert same(health(codebook, source), expected)
    for threads in (1, 2, 3, 8):
        assert same(codebook.health(x, threads=threads), expected)
    monkeypatch.setattr("evtok.codebook.chunks._ROWS_AT_ONCE", 64)
    assert same(codebook.health(x), expected)


def test_p2_reports_are_the_same_on_each_instruction_set(isa: str) -> None:
    report = Codebook(vectors(40, 5, seed=1)).health(vectors(500, 5))
    assert report.usage.sum() == 500
    ids = Codebook(vectors(40, 5, seed=1)).nearest(vectors(500, 5))
    assert np.array_equal(report.usage, np.bincount(ids, minlength=40))


def test_torch_and_awkward_arrays_are_read() -> None:
    x = vectors(60)
    codebook = Codebook(vectors(10, seed=1))
    expected = codebook.health(x)
    torch = pytest.importorskip("torch")
    assert same(codebook.health(torch.from_numpy(x)), expected)
    ak = pytest.importorskip("awkward")
    assert same(codebook.health(ak.unflatten(ak.from_numpy(x), [0, 7, 50, 3])), expected)


def test_no_rows_give_a_report_without_numbers() -> None:
    report = Codebook(vectors(4)).health(vectors(0))
    assert report.n_rows == 0
    assert math.isnan(report.perplexity)
    assert math.isnan(report.error)
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["perplexity"] is None
    assert document["errors"] == [None, None, None]
    assert "vectors" in str(report)


def test_one_code_has_no_margins() -> None:
    report = Codebook(vectors(1)).health(vectors())
    assert not report.margins.any()
    assert len(report.duplicates) == 0
    assert "margin" not in str(report)
    json.dumps(report.to_dict(), allow_nan=False)


def test_the_table_says_what_was_found() -> None:
    codes = vectors(10, 9, seed=1)
    codes[3], codes[7] = 90, codes[2]
    x = vectors(200, 9)
    x[5, 5] = np.nan
    report = Codebook(codes).health(x)
    rows = dict(line.split("  ", 1) for line in str(report).splitlines())
    table = {name.strip(): value.strip() for name, value in rows.items()}
    assert table["codebook"] == "10 codes of 9 dimensions, metric l2"
    assert table["vectors"] == "199 (0 masked and 1 invalid ones left out)"
    assert table["codes used"] == "8 (80.0 %), dead 2"
    assert table["near-duplicates"].startswith("1 pairs closer than 0.01 of the spacing")
    assert table["squared error"].endswith("+ ...)")
    assert sum(int(value.split()[0]) for name, value in table.items() if name.startswith("margin")) == 199


def test_the_dictionary_holds_everything() -> None:
    report = Codebook(vectors(10, seed=1)).health(vectors())
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["usage"] == report.usage.tolist()
    assert document["margin_edges"] == list(MARGIN_EDGES)
    assert len(document["margins"]) == len(MARGIN_EDGES) - 1
    assert document["perplexity"] == report.perplexity
    fields = set(CodebookHealth.__dataclass_fields__)
    assert fields <= set(document)


def test_p9_a_callers_rounding_mode_does_not_reach_the_report() -> None:
    code = """
    import ctypes
    from evtok.codebook import Codebook
    rng = np.random.default_rng(0)
    report = Codebook(rng.normal(size=(50, 3))).health(rng.normal(size=(5000, 3)))
    libm = ctypes.CDLL("libm.so.6")
    for mode in (0, 0x400, 0x800, 0xC00):  # to nearest, down, up and towards zero on x86
        libm.fesetround(mode)
        found = report.perplexity, report.error
        libm.fesetround(0)
        print(found[0].hex(), found[1].hex())
    """
    if platform.machine() != "x86_64":
        pytest.skip("the number of the rounding mode is that of x86")
    assert len(set(python_process.run(code).stdout.splitlines())) == 1


def test_wrong_arguments_are_named() -> None:
    codebook = Codebook(vectors(4))
    with pytest.raises(ValueError, match="x: expected shape"):
        codebook.health(vectors(9, 2))
    with pytest.raises(TypeError, match="x, codebook: expected one dtype"):
        codebook.health(vectors(9, dtype=np.float64))
    assert codebook.health(vectors(9, dtype=np.float64), dtype="float32").n_rows == 9
    with pytest.raises(ValueError, match="mask: expected x to be one array"):
        codebook.health([vectors(9), vectors(9)], mask=np.ones(18, bool))
    with pytest.raises(ValueError, match="mask: expected booleans"):
        codebook.health(vectors(9), mask=np.ones(8, bool))
    with pytest.raises(ValueError, match="near_duplicate: expected 0 or more"):
        codebook.health(vectors(9), near_duplicate=-1)
