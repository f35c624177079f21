"""How quantities are written: in figures (matplotlib's mathematics) and on the page (HTML), with their units."""

from __future__ import annotations

from dataclasses import dataclass

from evtok.report.page import Html, escape


@dataclass(frozen=True)
class Quantity:
    """A quantity as a figure and as a page write it; `unit` may be empty."""

    figure: str
    page: Html
    unit: str = ""

    @property
    def axis(self) -> str:
        """Label of an axis."""
        return f"{self.figure} [{self.unit}]" if self.unit else self.figure

    @property
    def heading(self) -> Html:
        """Heading of a column of a table."""
        return Html(f"{self.page} [{escape(self.unit)}]") if self.unit else self.page


_WRITTEN = {
    "pt": (r"$p_\mathrm{T}$", "<i>p</i><sub>T</sub>", "GeV"),
    "ptrel": (r"$p_\mathrm{T}$ / jet $p_\mathrm{T}$", "relative <i>p</i><sub>T</sub>", ""),
    "eta": (r"$\eta$", "<i>η</i>", ""),
    "phi": (r"$\varphi$", "<i>φ</i>", "rad"),
    "etarel": (r"$\Delta\eta$", "Δ<i>η</i>", ""),
    "deta": (r"$\Delta\eta$", "Δ<i>η</i>", ""),
    "phirel": (r"$\Delta\varphi$", "Δ<i>φ</i>", "rad"),
    "dphi": (r"$\Delta\varphi$", "Δ<i>φ</i>", "rad"),
    "mass": (r"$m$", "<i>m</i>", "GeV"),
    "energy": (r"$E$", "<i>E</i>", "GeV"),
    "MET": (r"$p_\mathrm{T}^\mathrm{miss}$", "<i>p</i><sub>T</sub><sup>miss</sup>", "GeV"),
    "METphi": (r"$\varphi^\mathrm{miss}$", "<i>φ</i><sup>miss</sup>", "rad"),
    "type": ("object type", "object type", ""),
}

_TYPES = {
    "j": "jet",
    "b": "b jet",
    "e-": "e⁻",
    "e+": "e⁺",
    "m-": "μ⁻",
    "m+": "μ⁺",
    "g": "photon",
}


def quantity(name: str, unit: str = "") -> Quantity:
    """Return how the column or field `name` is written; names that are not known are written as they are."""
    if name in _WRITTEN:
        figure, page, known = _WRITTEN[name]
        return Quantity(figure, Html(page), unit or known)
    return Quantity(plain(name), escape(name), unit)


def type_name(name: str) -> str:
    """Return an object type in words."""
    return _TYPES.get(name, name)


def plain(text: str) -> str:
    """Protect text from matplotlib's mathematics."""
    return text.replace("$", r"\$")
