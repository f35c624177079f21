"""How often evtok and each peer choose another code, by how much, and whether rounding explains every case."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from evtok.compat.disagreement.inputs import Input
from evtok.compat.disagreement.peers import PEERS, Peer


@dataclass(frozen=True)
class Disagreement:
    """What one peer and evtok chose on one input.

    Attributes
    ----------
    peer, version, input : str
    n_rows, n_differ : int
    n_tied : int
        Rows that differ because two codes are exactly equally near.
    n_theirs_farther, n_ours_farther : int
        Rows that differ where the peer's code, or evtok's, is farther than the other's in exact arithmetic.
    worst : float
        The largest margin of these rows in units of what rounding can explain: the sum of both codes' error bounds, of
        the side whose code is farther. At most 1, or one of the two has computed something else.
    why : str
        Why the peer's answers differ.
    """

    peer: str
    version: str
    input: str
    n_rows: int
    n_differ: int
    n_tied: int
    n_theirs_farther: int
    n_ours_farther: int
    worst: float
    why: str

    @property
    def rate(self) -> float:
        """Share of the rows that differ."""
        return self.n_differ / self.n_rows if self.n_rows else 0.0


def disagreement(peer: Peer, data: Input) -> Disagreement:
    """Compare one installed peer with evtok on one input; margins and bounds are exact (rational arithmetic).

    Parameters
    ----------
    peer : Peer
    data : Input
        Of one of the dtypes of the peer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what peers say while they are imported
        theirs = np.asarray(peer.theirs(data.x, data.codes))
    ours = np.asarray(peer.ours(data.x, data.codes))
    differ = np.flatnonzero(ours != theirs)
    margins, worst = _margins(peer, data, [(int(row), int(ours[row]), int(theirs[row])) for row in differ])
    return Disagreement(
        peer.name,
        peer.version or "",
        data.name,
        len(data.x),
        len(differ),
        sum(margin == 0 for margin in margins),
        sum(margin > 0 for margin in margins),
        sum(margin < 0 for margin in margins),
        worst,
        peer.why,
    )


def _margins(
    peer: Peer, data: Input, choices: Iterable[tuple[int, int, int]]
) -> tuple[list[Fraction], float]:
    """Return how much farther the peer's code is than evtok's, for each (row, ours, theirs), and the worst case."""
    if peer.distance is None or peer.their_bound is None or peer.our_bound is None:
        return [], float("inf") if list(choices) else 0.0
    margins, worst = [], Fraction(0)
    for row, ours, theirs in choices:
        x, mine, other = data.x[row], data.codes[ours], data.codes[theirs]
        margin = peer.distance(x, other) - peer.distance(x, mine)
        margins.append(margin)
        if margin:
            bound = peer.their_bound if margin > 0 else peer.our_bound
            worst = max(worst, abs(margin) / (bound(x, mine) + bound(x, other)))
    return margins, float(worst)


def compare(inputs: Iterable[Input], peers: Iterable[Peer] = PEERS) -> list[Disagreement]:
    """Compare every installed peer with evtok on every input that it takes."""
    installed = [peer for peer in peers if peer.version is not None]
    return [
        disagreement(peer, data) for data in inputs for peer in installed if data.x.dtype.type in peer.dtypes
    ]


def as_text(rows: Iterable[Disagreement]) -> str:
    """Return the table, and under it why each peer differs."""
    rows = list(rows)
    head = f"{'input':<30} {'peer':<36} {'differ':>9} {'tied':>6} {'theirs':>7} {'ours':>5} {'worst':>8}"
    units = f"{'':<30} {'':<36} {'% rows':>9} {'':>6} {'farther':>13} {'bound=1':>8}"
    lines = [
        f"{row.input:<30} {row.peer + ' ' + row.version:<36.36} {100 * row.rate:>9.4g} {row.n_tied:>6} "
        f"{row.n_theirs_farther:>7} {row.n_ours_farther:>5} {row.worst:>8.2g}"
        for row in rows
    ]
    reasons = {row.peer: row.why for row in rows}
    return "\n".join(
        [head, units, "-" * len(head), *lines, "", *(f"{peer} {why}." for peer, why in reasons.items())]
    )
