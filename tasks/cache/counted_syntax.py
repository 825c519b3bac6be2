"""What of a module's source can change a result: its syntax without the words that are only for people.

Left out are comments, layout, docstrings, `pass`, what only type checkers read, lines that log, and the texts of
errors, of warnings and of assertions. An error's class, its numbers and names, and everything around it count.

A text is a string, an f-string, or what is put together of texts by +, %, str methods, `or`, `if`, functions that make
texts and names that hold them (`tasks/cache/texts.py`). As an argument of an error it does not count. Nor does what a
private function returns (`_problem(...)`) or a variable holds (`remedy = ...`), where the module only puts it into such
texts; the conditions there count.

Two things make this safe:
- Evaluating a text may do something. So an assignment (`:=`), `await`, `yield` and each call of a function that is not
  known to do nothing but show still count. Attributes, subscripts and operators are taken to do nothing.
- Nothing decides by an error's words, and none of them end in a result. An exception that carries a value is not named
  an error (`UnreadableImage`, whose reason stands in a report), and all of it counts.
A text that is appended, compared, stored or returned for other uses counts: it may go anywhere.
"""

import ast
from collections.abc import Set

from tasks.cache.texts import FAULTS, LOGGERS, effects, holds_text, is_text, logs, name_of, shows, text_names


def counted_syntax(source: bytes, *, neutral: Set[str]) -> ast.Module:
    """The part of `source` that counts; imports of the modules `neutral` and of `logging` do not."""
    tree = parsed(source)
    counted = _Counted(text_names(tree), neutral={*neutral, "logging", "typing.TYPE_CHECKING"}).visit(tree)
    assert isinstance(counted, ast.Module)
    return counted


def parsed(source: bytes | str) -> ast.Module:
    """The syntax of a source, also where other threads parse at the same time."""
    try:
        return ast.parse(source)
    except SystemError:  # Python 3.11 counts the depth of threads that parse at once together (python/cpython#106905)
        return ast.parse(source)


class _Counted(ast.NodeTransformer):
    """Takes out of a tree what does not count."""

    def __init__(self, texts: Set[str], *, neutral: Set[str]) -> None:
        self._texts, self._neutral = texts, neutral
        self._class = ""  # name of the class that is visited
        self._in_text = False  # within a function that makes texts

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        outer, self._class = self._class, node.name
        self._without_docstring(node)
        self._class = outer
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        outer, self._in_text = self._in_text, self._in_text or node.name in self._texts
        self._without_docstring(node)
        self._in_text = outer
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._without_docstring(node)

    def _without_docstring(self, node: ast.AST) -> ast.AST:
        first = node.body[0] if getattr(node, "body", None) else None  # type: ignore[attr-defined]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:]  # type: ignore[attr-defined]
        return self.generic_visit(node)

    def visit_Pass(self, node: ast.Pass) -> None:  # noqa: ARG002
        return None

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        node.names = [alias for alias in node.names if alias.name not in self._neutral]
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        node.names = [alias for alias in node.names if f"{node.module}.{alias.name}" not in self._neutral]
        return node if node.names and node.module not in self._neutral else None

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if name_of(node.test) == "TYPE_CHECKING":
            return [kept for child in node.orelse for kept in _statements(self.visit(child))]
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        makes_logger = isinstance(node.value, ast.Call) and name_of(node.value.func) == "getLogger"
        if makes_logger and {name_of(target) for target in node.targets} <= LOGGERS:
            return None
        return self._without_text(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        return self._without_text(node)

    def _without_text(self, node: ast.Assign | ast.AugAssign) -> ast.AST:
        if holds_text(node, self._texts):
            node.value = self._blank(node.value)
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        if isinstance(node.value, ast.Call) and logs(node.value):
            arguments = [*node.value.args, *(keyword.value for keyword in node.value.keywords)]
            return [ast.Expr(effect) for argument in arguments for effect in effects(argument, self._texts)]
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        if node.msg is not None:
            kept = effects(node.msg, self._texts)
            node.msg = ast.List(kept, ast.Load()) if kept else None
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if self._is_fault(node.func):
            node.args = [self._blank(argument) for argument in node.args]
            for keyword in node.keywords:
                keyword.value = self._blank(keyword.value)
        elif self._in_text and not shows(node, self._texts):
            return node
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return self._blank(node) if self._in_text else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return self._blank(node) if self._in_text else self.generic_visit(node)

    def _blank(self, node: ast.expr) -> ast.expr:
        """What counts of an expression that is for people where it is a text."""
        if not is_text(node, self._texts):
            return node
        return ast.List([ast.Constant(...), *effects(node, self._texts)], ast.Load())

    def _is_fault(self, called: ast.expr) -> bool:
        """Whether this makes an error or a warning, or hands the text on to the class that it is a kind of."""
        name = name_of(called)
        if name == "__init__" and ast.unparse(called) == "super().__init__":
            return self._class.endswith(FAULTS)
        return name.endswith(FAULTS) or (name == "warn" and ast.unparse(called) == "warnings.warn")


def _statements(visited: object) -> list[ast.stmt]:
    if isinstance(visited, list):
        return visited
    return [visited] if isinstance(visited, ast.stmt) else []
