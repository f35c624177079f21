"""HTML, made of elements: whatever is not already `Html` is escaped, and every element is closed.

In: text and elements. Out: one page that loads nothing.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

_VOID = ("img", "meta")


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(value: Any) -> Html:
    """Return `value` as HTML: itself if it is HTML, its escaped text if not."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def element(name: str, /, *content: Any, **attributes: Any) -> Html:
    """Make an element; ``class_`` and ``for_`` lose their underscore, None leaves an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{''.join(escape(part) for part in content)}</{name}>")


@dataclass(frozen=True)
class Picture:
    """A figure: SVG, a description for those who cannot see it, and a caption for all. `wide` ones take a row."""

    svg: bytes
    description: str
    caption: Html | str
    wide: bool = False

    def element(self) -> Html:
        """Return the figure; it carries its image within."""
        source = "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode("ascii")
        return element(
            "figure",
            element("img", src=source, alt=self.description),
            element("figcaption", self.caption),
            class_="wide" if self.wide else None,
        )


def pictures(parts: Iterable[Picture]) -> Html:
    """Lay figures out in a grid that follows the width of the window."""
    return element("div", *(part.element() for part in parts), class_="figures")


def table(
    caption: Any,
    headings: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    total: Sequence[Any] | None = None,
    text_columns: Sequence[int] = (0,),
) -> Html:
    """Make a table; numbers are aligned to the right, columns of `text_columns` to the left.

    The first cell of a row is its heading.
    """

    def kind(k: int) -> str | None:
        return None if k in text_columns else "number"

    def line(cells: Sequence[Any]) -> Html:
        first = element("th", cells[0], scope="row", class_=kind(0))
        return element(
            "tr", first, *(element("td", cell, class_=kind(k)) for k, cell in enumerate(cells) if k)
        )

    head = element(
        "thead",
        element("tr", *(element("th", h, scope="col", class_=kind(k)) for k, h in enumerate(headings))),
    )
    body = element("tbody", *(line(row) for row in rows))
    foot = element("tfoot", line(total)) if total is not None else Html("")
    inner = element("table", element("caption", caption), head, body, foot)
    return element("div", inner, class_="table", tabindex="0", role="region", aria_label=_plain(caption))


def _plain(caption: Any) -> str:
    """Return a caption's first sentence without markup, as a name for those who cannot see it."""
    words = html.unescape("".join(part.split(">")[-1] for part in f">{escape(caption)}".split("<")))
    return words.split(". ")[0]


def section(identifier: str, title: str, *content: Any) -> Html:
    """Make a section with a heading that the contents can point to."""
    heading = element("h2", title, id=f"{identifier}-heading")
    return element("section", heading, *content, id=identifier, aria_labelledby=f"{identifier}-heading")


def page(title: str, header: Html, contents: Sequence[tuple[str, str]], body: Iterable[Html]) -> str:
    """Put the page together.

    Parameters
    ----------
    title : str
        Of the window.
    header : Html
        What stands above the contents.
    contents : sequence of (identifier, title)
        The sections.
    body : iterable of Html
        The sections themselves.
    """
    style = resources.files("evtok.report").joinpath("page.css").read_text(encoding="utf-8")
    links = element(
        "nav",
        element("ol", *(element("li", element("a", name, href=f"#{key}")) for key, name in contents)),
        aria_label="Contents",
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(style)),
    )
    skip = element("a", "To the content", href="#content", class_="skip")
    main = element("main", *body, id="content")
    return "<!DOCTYPE html>\n" + element("html", head, element("body", skip, header, links, main), lang="en")
