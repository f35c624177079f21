"""ROOT files: a TTree is read here, an RNTuple by `rntuple.py`; both through uproot.

In: baskets of flat branches and of jagged ones (``nJet`` + ``Jet_pt[nJet]``, ``std::vector<float>``).
Out: chunks of named columns, for `ColumnarFile` to make events of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from evtok._optional import require
from evtok.errors import InputFileError, SchemaError
from evtok.io.columnar import Column, ColumnarFile, Ragged
from evtok.io.faults import reading
from evtok.io.paths import Location
from evtok.io.schema import Schema

_TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")


def open_root(path: str, schema: Schema, tree: str | None = None) -> ColumnarFile:
    """Open the tree of a ROOT file that the user or the schema names, TTree or RNTuple.

    Raises
    ------
    InputFileError
        A file that uproot cannot open, or one without such a tree when the user asked for it.
    SchemaError
        No tree of the schema, or missing branches.
    """
    from evtok.io.rntuple import RNTupleFile

    uproot = require("uproot", extra="io")
    require("awkward", extra="io")
    with reading(path, "the ROOT file"):
        file = uproot.open(path, array_cache=None, object_cache=None)
    try:
        end, size = int(file.file.fEND), Location(path).size()
        if size < end:
            raise InputFileError(
                f"{path}: truncated: its header says {end} bytes, it has {size}; fetch it again or recover it"
            )
        with reading(path, "the list of objects"):
            classes = {name.split(";")[0]: kind for name, kind in file.classnames(recursive=True).items()}
        name = _choose_tree(path, schema, tree, classes)
        with reading(path, f"tree {name}"):
            contents = file[name]
        kind = RNTupleFile if classes[name] == "ROOT::RNTuple" else TTreeFile
        return kind(path, schema, contents, file)
    except BaseException:
        file.close()
        raise


def _choose_tree(path: str, schema: Schema, tree: str | None, classes: dict[str, str]) -> str:
    trees = [name for name, kind in classes.items() if kind in _TREES]
    there = (
        f"it has {', '.join(trees)}"
        if trees
        else f"it has no tree at all, only {', '.join(classes) or 'nothing'}"
    )
    if tree is not None:
        if tree not in trees:
            raise InputFileError(f"{path}: no tree {tree!r}; {there}")
        return tree
    found = [name for name in schema.tree if name in trees]
    if not found and not schema.tree and len(trees) == 1:
        found = trees
    if not found:
        wanted = " or ".join(schema.tree) or "one tree"
        raise SchemaError(
            f"{path}: schema {schema.name} expects {wanted}; {there}. Use '{path}:TREE' to choose one"
        )
    return found[0]


class TTreeFile(ColumnarFile):
    """One TTree."""

    format = "ROOT TTree"

    def __init__(self, path: str, schema: Schema, tree: Any, file: Any) -> None:
        super().__init__(path, schema)
        self._tree, self._file = tree, file
        with reading(path, f"the branches of {tree.name}"):
            self._bind(frozenset(tree.keys(recursive=True, full_paths=False)))
            self.n_events = int(tree.num_entries)
        if self.n_events < 0:
            raise InputFileError(
                f"{path}: tree {tree.name} claims {self.n_events} entries; the file is corrupt"
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _stream(
        self, sources: tuple[str, ...], start: int, stop: int, chunk: int
    ) -> Iterator[dict[str, Column]]:
        keys = {self._branch(source).cache_key: source for source in sources}
        for arrays in self._tree.iterate(
            filter_branch=lambda branch: branch.cache_key in keys,
            entry_start=start,
            entry_stop=stop,
            step_size=chunk,
            library="ak",
            how=dict,
        ):
            by_name = {name.rsplit("/", 1)[-1]: array for name, array in arrays.items()}
            yield {source: from_awkward(by_name[source.rsplit("/", 1)[-1]]) for source in sources}

    def _branch(self, source: str) -> Any:
        uproot = require("uproot", extra="io")
        branch = self._tree[source]
        interpretation = branch.interpretation
        content = interpretation.content if isinstance(interpretation, uproot.AsJagged) else interpretation
        if (
            not isinstance(content, uproot.AsDtype)
            or content.to_dtype.shape
            or content.to_dtype.kind not in "fiub"
        ):
            raise SchemaError(
                f"{self.path}: branch {source} holds {branch.typename}, expected a number or a list of "
                "numbers per entry"
            )
        return branch


def from_awkward(array: Any) -> Column:
    """Take the memory of an awkward array of numbers, or lists of them; no copy where its layout allows."""
    ak = require("awkward", extra="io")
    layout = array.layout
    if isinstance(layout, ak.contents.NumpyArray):
        return np.asarray(layout.data)
    if not isinstance(layout, ak.contents.ListOffsetArray):
        layout = ak.to_packed(layout.to_ListOffsetArray64(False))
    content = layout.content
    if isinstance(content, ak.contents.IndexedArray):
        content = content.project()
    if not isinstance(content, ak.contents.NumpyArray) or content.purelist_depth != 1:
        raise TypeError(f"expected numbers or lists of numbers, got {array.type}")
    return Ragged(np.asarray(layout.offsets.data), np.asarray(content.data))
