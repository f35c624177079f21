"""NumPy tests searchsorted as a method, which cannot be replaced: its tests, rewritten to call a function."""

from __future__ import annotations

import ast
from pathlib import Path


class _AsFunctions(ast.NodeTransformer):
    """Rewrite ``a.searchsorted(v)`` and ``np.searchsorted`` as ``searchsorted``, for a method cannot be replaced."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        is_numpy = isinstance(node.value, ast.Name) and node.value.id == "np"
        return ast.Name("searchsorted", ast.Load()) if node.attr == "searchsorted" and is_numpy else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "searchsorted":
            return ast.Call(
                ast.Name("searchsorted", ast.Load()), [node.func.value, *node.args], node.keywords
            )
        return node


def as_functions(source: Path, target: Path) -> None:
    """Write NumPy's test file with calls of the method searchsorted as calls of a function of that name."""
    tree = ast.fix_missing_locations(_AsFunctions().visit(ast.parse(source.read_text(encoding="utf-8"))))
    target.write_text(ast.unparse(tree), encoding="utf-8")
