"""Reads an HTML page as a browser does, strictly: every element must be closed, and in the right order."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"img", "meta"}


class Page(HTMLParser):
    """What a page holds: tables by their captions, ids, images, links, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.facts: dict[str, str] = {}
        self.ids: list[str] = []
        self.images: list[dict[str, str]] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self._rows: list[list[str]] = []
        self._caption = self._name = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        assert len(values) == len(attrs), f"<{tag}> repeats an attribute"
        self.tags.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        self.links += [values[key] for key in ("href", "src") if key in values]
        if tag == "img":
            self.images.append(values)
        if tag == "table":
            self._rows, self._caption = [], ""
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        if tag == "table":
            self.tables[self._caption] = self._rows
        if tag == "dt":
            self._name = self._text_of

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data
        if {"td", "th"} & set(self.open):
            self._rows[-1][-1] += data
        elif "caption" in self.open:
            self._caption += data
        if self.open and self.open[-1] == "dt":
            self._text_of = data
        elif "dd" in self.open:
            self.facts[self._name] = self.facts.get(self._name, "") + data

    def table(self, beginning: str) -> list[list[str]]:
        """Return the rows of the table whose caption begins so, without its headings."""
        (rows,) = [rows for caption, rows in self.tables.items() if caption.startswith(beginning)]
        return rows[1:]
