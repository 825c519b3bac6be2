"""What of a module's source can change a result: its syntax without the words that are only for people.

Left out are comments, layout, docstrings, `pass`, what only type checkers read, lines that log, and the texts of
errors, of warnings and of assertions. An error's class, its numbers and names, and everything around it count.

A text is a string, an f-string, or what is put together of texts by +, %, str methods, `or`, `if` and functions that
make texts. It counts for nothing where it is an argument of an error. So does what a function of the module makes,
where it is private, returns str, and all its calls stand in such texts (`_problem(...)`); its conditions count.
Two things make this safe:
- Evaluating a text may do something. So an assignment (`:=`), `await`, `yield` and each call of a function that is not
  known to do nothing but show still count. Attributes, subscripts and operators are taken to do nothing.
- Nothing decides by an error's words, and none of them end in a result. An exception that carries a value is not named
  an error (`UnreadableImage`, whose reason stands in a report), and all of it counts.
A text that is bound to a name first, appended or returned by another function counts: it may go anywhere.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Set

LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
LOGGERS = {"logger", "log", "logging", "get_run_logger"}
FAULTS = ("Error", "Exception", "Warning")  # endings of the names of classes whose texts are for people
# Builtins and methods that do nothing but return; a method counts by its name, so none that also writes stands here.
SHOWING = {
    *("abs", "all", "any", "ascii", "bool", "dict", "enumerate", "float", "format", "hex", "int", "isinstance", "len"),
    *("list", "max", "min", "oct", "range", "repr", "reversed", "round", "set", "sorted", "str", "sum", "tuple"),
    *("type", "zip", "on_screen", "printable", "shown", "shown_names", "shown_value", "first_line"),
}
METHODS = {
    *("as_posix", "count", "decode", "encode", "format", "get", "hex", "index", "item", "items", "join", "keys"),
    *("ljust", "lower", "lstrip", "partition", "relative_to", "removeprefix", "removesuffix", "rjust", "rpartition"),
    *("rstrip", "split", "splitlines", "strerror", "strip", "title", "tolist", "upper", "values"),
}
TEXT_METHODS = {
    *("format", "join", "ljust", "lower", "lstrip", "removeprefix", "removesuffix", "rjust", "rstrip", "strip"),
    *("title", "upper"),
}
TEXTS = {
    *("ascii", "format", "repr", "str"),
    *("on_screen", "printable", "shown", "shown_names", "shown_value", "first_line"),
}


def counted_syntax(source: bytes, *, neutral: Set[str]) -> ast.Module:
    """The part of `source` that counts; imports of the modules `neutral` and of `logging` do not."""
    tree = _parsed(source)
    counted = _Counted(_text_functions(tree), neutral={*neutral, "logging", "typing.TYPE_CHECKING"}).visit(tree)
    assert isinstance(counted, ast.Module)
    return counted


def _parsed(source: bytes) -> ast.Module:
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
        if _name(node.test) == "TYPE_CHECKING":
            return [kept for child in node.orelse for kept in _statements(self.visit(child))]
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        makes_logger = isinstance(node.value, ast.Call) and _name(node.value.func) == "getLogger"
        return (
            None if makes_logger and {_name(target) for target in node.targets} <= LOGGERS else self.generic_visit(node)
        )

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        if isinstance(node.value, ast.Call) and _logs(node.value):
            arguments = [*node.value.args, *(keyword.value for keyword in node.value.keywords)]
            return [ast.Expr(effect) for argument in arguments for effect in _effects(argument, self._texts)]
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        if node.msg is not None:
            effects = _effects(node.msg, self._texts)
            node.msg = ast.List(effects, ast.Load()) if effects else None
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if self._is_fault(node.func):
            node.args = [self._blank(argument) for argument in node.args]
            for keyword in node.keywords:
                keyword.value = self._blank(keyword.value)
        elif self._in_text and not _shows(node, self._texts):
            return node
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return self._blank(node) if self._in_text else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return self._blank(node) if self._in_text else self.generic_visit(node)

    def _blank(self, node: ast.expr) -> ast.expr:
        """What counts of an expression that is for people where it is a text."""
        if not _is_text(node, self._texts):
            return node
        return ast.List([ast.Constant(...), *_effects(node, self._texts)], ast.Load())

    def _is_fault(self, called: ast.expr) -> bool:
        """Whether this makes an error or a warning, or hands the text on to the class that it is a kind of."""
        name = _name(called)
        if name == "__init__" and ast.unparse(called) == "super().__init__":
            return self._class.endswith(FAULTS)
        return name.endswith(FAULTS) or (name == "warn" and ast.unparse(called) == "warnings.warn")


def _statements(visited: object) -> list[ast.stmt]:
    if isinstance(visited, list):
        return visited
    return [visited] if isinstance(visited, ast.stmt) else []


def _name(called: ast.AST) -> str:
    """The last name of what is called: `c` of `a.b.c`."""
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def _logs(call: ast.Call) -> bool:
    """`logger.info(...)`, `logger().info(...)`, `logging.warning(...)`."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS:
        return False
    owner = call.func.value
    return _name(owner.func if isinstance(owner, ast.Call) and not owner.args else owner) in LOGGERS


def _shows(call: ast.Call, texts: Set[str]) -> bool:
    """Whether calling this does nothing but return something."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in METHODS or call.func.attr in texts
    return isinstance(call.func, ast.Name) and (call.func.id in SHOWING or call.func.id in texts)


def _is_text(node: ast.expr, texts: Set[str]) -> bool:
    """Whether this is a string that the source puts together."""
    match node:
        case ast.JoinedStr() | ast.Constant(value=str()):
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_text(left, texts) or _is_text(right, texts)
        case ast.BinOp(left=left, op=ast.Mod()):
            return _is_text(left, texts)
        case ast.IfExp(body=first, orelse=second):
            return _is_text(first, texts) and _is_text(second, texts)
        case ast.BoolOp(op=ast.Or(), values=values):
            return _is_text(values[-1], texts)
        case ast.Call(func=ast.Attribute(value=owner, attr=name)):
            return name in texts or (name in TEXT_METHODS and _is_text(owner, texts))
        case ast.Call(func=ast.Name(id=name)):
            return name in TEXTS or name in texts
    return False


def _effects(node: ast.AST, texts: Set[str]) -> list[ast.expr]:
    """What in an expression may do something besides returning a value."""
    if isinstance(node, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom):
        return [node]
    if isinstance(node, ast.Call) and not _shows(node, texts) and not _name(node.func).endswith(FAULTS):
        return [node]
    return [effect for child in ast.iter_child_nodes(node) for effect in _effects(child, texts)]


def _text_functions(tree: ast.Module) -> set[str]:
    """Private functions that return str, where all that the module does with it is to put it into texts for people."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    defined = Counter(function.name for function in functions)
    texts = {function.name for function in functions if defined[function.name] == 1 and _may_make_texts(function)}
    uses = Counter(_name(node) for node in ast.walk(tree)) if texts else Counter[str]()
    while texts:
        calls = {
            id(call): _name(call.func) for part in _parts_for_people(tree, texts) for call in _shown_calls(part, texts)
        }
        shown = Counter(calls.values())
        found = {name for name in texts if 0 < uses[name] == shown[name]}
        if found == texts:
            break
        texts = found
    return texts


def _may_make_texts(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function is private, returns str, and neither it nor a decorator does anything with names of others."""
    private = function.name.startswith("_") and not function.name.endswith("__")
    returns_text = isinstance(function.returns, ast.Name) and function.returns.id == "str"
    decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
    reaches_out = any(
        isinstance(node, ast.Global | ast.Nonlocal)
        or (isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load))
        for node in ast.walk(function)
    )
    return private and returns_text and not reaches_out and decorators <= {"staticmethod"}


def _parts_for_people(tree: ast.Module, texts: Set[str]) -> Iterator[ast.AST]:
    """What of a module ends in a text for people: arguments of errors and of log lines, bodies of `texts`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in texts:
            yield from node.body
        elif isinstance(node, ast.Assert) and node.msg is not None:
            yield node.msg
        elif isinstance(node, ast.Call) and (_logs(node) or _name(node.func).endswith(FAULTS)):
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            yield from (argument for argument in arguments if _logs(node) or _is_text(argument, texts))


def _shown_calls(node: ast.AST, texts: Set[str]) -> Iterator[ast.Call]:
    """Calls in `node` whose value reaches no function that may do something with it."""
    if isinstance(node, ast.Call):
        if not _shows(node, texts) and not _name(node.func).endswith(FAULTS):
            return
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _shown_calls(child, texts)
