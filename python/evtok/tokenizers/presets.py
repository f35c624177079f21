"""Published tokenization schemes, reproduced to the id."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from evtok.tokenizers.binned import OBJECTS, BinnedTokenizer
from evtok.tokenizers.edge_definitions import LookupTableBins
from evtok.tokenizers.feature import Feature, Uniform
from evtok.tokenizers.thresholds import Transform

#: Range of log(pT / GeV) that the scheme of 2303.07364 uses on JetClass.
JETCLASS_LOG_PT = (-0.7602971186, 6.9062547684)


def finke(
    variant: Literal["transformer-hep", "jetsequences"] = "transformer-hep",
    *,
    log_pt_range: tuple[float | None, float | None] = JETCLASS_LOG_PT,
    columns: Sequence[str] = ("pt", "etarel", "phirel"),
    relative_to: Sequence[str] | None = None,
) -> BinnedTokenizer:
    """Make the 41 x 31 x 31 tokens of jet constituents of Finke et al. (2303.07364).

    Edges are 40 equally spaced ones in log pT and 30 each from -0.8 to 0.8 in Δη and Δφ; under- and overflow are codes
    of their own: 41 x 31 x 31 = 39 401 ids.

    Parameters
    ----------
    variant : {"transformer-hep", "jetsequences"}
        The order of the mixed radix and the special tokens of the two public codes.
        transformer-hep: ``pt + 41 * eta + 41 * 31 * phi``, stop token 39 401, 39 402 ids.
        jetsequences: ``(pt * 31 + eta) * 31 + phi``, start 39 401, end 39 402, padding 39 403, 39 404 ids.
    log_pt_range : (low, high)
        Range of log pT, pT in GeV. None is fitted: the quantile 0.001 and the maximum of the data.
    columns : three names
        Columns of pT, Δη and Δφ, with the names that the schemas of JetClass and top landscape give them; or of pT,
        η and φ with `relative_to`.
    relative_to : two names, optional
        Fields with η and φ of the jet axis, to be subtracted; Δφ is wrapped.
    """
    pt, eta, phi = columns
    jet_eta, jet_phi = relative_to if relative_to is not None else (None, None)
    low, high = log_pt_range
    features = {
        "pt": Feature(pt, Uniform(40, low, high, lower=0.001 if low is None else 0.0), Transform("log")),
        "deta": Feature(eta, Uniform(30, -0.8, 0.8), relative_to=jet_eta),
        "dphi": Feature(phi, Uniform(30, -0.8, 0.8), relative_to=jet_phi, wrap=jet_phi is not None),
    }
    if variant == "transformer-hep":
        return BinnedTokenizer(
            features, specials=(), specials_high=("eos",), order="first-fastest", sequence=(OBJECTS, "eos")
        )
    if variant == "jetsequences":
        return BinnedTokenizer(
            features,
            specials=(),
            specials_high=("bos", "eos", "pad"),
            order="last-fastest",
            sequence=("bos", OBJECTS, "eos"),
        )
    raise ValueError(f"variant: expected 'transformer-hep' or 'jetsequences', got {variant!r}")


#: Type codes of the look-up-table tokenizer; 0 is padding there.
LUT_TYPES = {"j": 1, "b": 2, "e-": 3, "e+": 4, "m-": 5, "m+": 6, "g": 7}


def lut(
    n_bins: int = 5,
    *,
    phi: bool = True,
    met: bool = False,
    types: Mapping[str, int] | None = None,
    energy_column: str = "energy",
    headroom: float = 0.1,
) -> BinnedTokenizer:
    """Make the look-up-table tokens of the masked-token method: equal-frequency, right-closed bins, tuples seen.

    The tuple of an object is (type, pT bin, E bin, η bin[, φ bin]); its id is its lexicographic rank among the tuples
    seen by `fit`. Unseen tuples become ``unk``, which lies after the published ids, within their head-room.

    Parameters
    ----------
    n_bins : int
        Bins of each feature; the labels run from 1 to ``n_bins + 1``, and exact zeros have label 0.
    phi : bool
        φ is part of the tuple.
    met : bool
        Tokens of MET and METphi follow the objects, with ids after those of the objects.
    types : mapping of str to int, optional
        Codes of the object types; those of the published code by default.
    energy_column : str
        The column of the energy.
    headroom : float
        Ids kept free at the end, as a fraction of the highest id.
    """
    bins = LookupTableBins(n_bins)

    def feature(column: str, zeros: bool) -> Feature:
        return Feature(column, bins, right=True, outside="unknown", zero_is_code_zero=zeros)

    features = {
        "pt": feature("pt", True),
        "energy": feature(energy_column, True),
        "eta": feature("eta", True),
    }
    if phi:
        features["phi"] = feature("phi", True)
    event_features = {"MET": feature("MET", True), "METphi": feature("METphi", True)} if met else {}
    return BinnedTokenizer(
        features,
        types=dict(types if types is not None else LUT_TYPES),
        specials=(),
        specials_high=("unk",),
        vocabulary="seen",
        event_features=event_features,
        sequence=(OBJECTS, *event_features),
        headroom=headroom,
    )


PRESETS: dict[str, Callable[..., BinnedTokenizer]] = {"finke": finke, "lut": lut}


def make(name: str, **options: Any) -> BinnedTokenizer:
    """Make the tokenizer of the preset `name`."""
    if name not in PRESETS:
        raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name](**options)


def log_uniform(n_edges: int, low: float, high: float) -> tuple[Uniform, Transform]:
    """Return binning and transform of `n_edges` edges from `low` to `high`, equally spaced in the logarithm.

    Examples
    --------
    >>> Feature("pt", *log_uniform(40, 15.0, 3000.0))  # doctest: +SKIP
    """
    if not 0 < low < high < math.inf:
        raise ValueError(f"low, high: expected 0 < low < high, got {low}, {high}")
    log = Transform("log")
    return Uniform(n_edges, log.forward(low), log.forward(high)), log
