"""Which parts of a module's source are texts for people, and which names of it hold such texts and nothing else."""

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


def name_of(called: ast.AST) -> str:
    """The last name of what is called: `c` of `a.b.c`."""
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def logs(call: ast.Call) -> bool:
    """`logger.info(...)`, `logger().info(...)`, `logging.warning(...)`."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS:
        return False
    owner = call.func.value
    return name_of(owner.func if isinstance(owner, ast.Call) and not owner.args else owner) in LOGGERS


def shows(call: ast.Call, texts: Set[str]) -> bool:
    """Whether calling this does nothing but return something."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in METHODS or call.func.attr in texts
    return isinstance(call.func, ast.Name) and (call.func.id in SHOWING or call.func.id in texts)


def is_text(node: ast.expr, texts: Set[str]) -> bool:
    """Whether this is a string that the source puts together."""
    match node:
        case ast.JoinedStr() | ast.Constant(value=str()):
            return True
        case ast.Name(id=name):
            return name in texts
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return is_text(left, texts) or is_text(right, texts)
        case ast.BinOp(left=left, op=ast.Mod()):
            return is_text(left, texts)
        case ast.IfExp(body=first, orelse=second):
            return is_text(first, texts) and is_text(second, texts)
        case ast.BoolOp(op=ast.Or(), values=values):
            return is_text(values[-1], texts)
        case ast.Call(func=ast.Attribute(value=owner, attr=name)):
            return name in texts or (name in TEXT_METHODS and is_text(owner, texts))
        case ast.Call(func=ast.Name(id=name)):
            return name in TEXTS or name in texts
    return False


def holds_text(node: ast.Assign | ast.AugAssign, names: Set[str]) -> bool:
    """Whether this assigns a text to one of `names`."""
    return any(target.id in names for target in _targets(node)) and is_text(node.value, names)


def effects(node: ast.AST, texts: Set[str]) -> list[ast.expr]:
    """What in an expression may do something besides returning a value."""
    if isinstance(node, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom):
        return [node]
    if isinstance(node, ast.Call) and not shows(node, texts) and not name_of(node.func).endswith(FAULTS):
        return [node]
    return [effect for child in ast.iter_child_nodes(node) for effect in effects(child, texts)]


def text_names(tree: ast.Module) -> set[str]:
    """Names of a module that hold or return texts, where all that it does with them is to put them into texts.

    A function is private and returns str. A variable is one of a function, or a private one of the module. What is done
    elsewhere with a name that is the same counts as done with this one.
    """
    given = _given(tree)
    stores = {id(target): target.id for target, _ in given}
    called = {name_of(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = (_functions(tree) | (set(stores.values()) - called)) - _outside(tree)
    uses = Counter(name_of(node) for node in ast.walk(tree)) if names else Counter[str]()
    while names:
        parts = (node for part in _parts_for_people(tree, names) for node in _shown_names(part, names))
        inside = {id(node): name_of(node) for node in parts} | stores
        counts = Counter(inside.values())
        others = {target.id for target, value in given if not is_text(value, names)}
        kept = {name for name in names - others if 0 < uses[name] == counts[name]}
        if kept == names:
            break
        names = kept
    return names


def _functions(tree: ast.Module) -> set[str]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    defined = Counter(function.name for function in functions)
    return {function.name for function in functions if defined[function.name] == 1 and _may_make_texts(function)}


def _may_make_texts(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function is private, returns str, and neither it nor a decorator does anything with names of others."""
    private = function.name.startswith("_") and not function.name.endswith("__")
    returns_text = isinstance(function.returns, ast.Name) and function.returns.id == "str"
    decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
    reaches_out = any(
        isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load)
        for node in ast.walk(function)
    )
    return private and returns_text and not reaches_out and decorators <= {"staticmethod"}


def _given(tree: ast.Module) -> list[tuple[ast.Name, ast.expr]]:
    """Variables of functions and private ones of the module, and each value that `x = ...` or `x += ...` stores."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inner = {id(node): node for function in functions for node in ast.walk(function)}
    return [
        (target, node.value)
        for node in [*inner.values(), *tree.body]
        if isinstance(node, ast.Assign | ast.AugAssign)
        for target in _targets(node)
        if id(node) in inner or target.id.startswith("_")
    ]


def _targets(node: ast.AST) -> list[ast.Name]:
    match node:
        case ast.Assign(targets=[ast.Name() as target]) | ast.AugAssign(target=ast.Name() as target, op=ast.Add()):
            return [target]
    return []


def _outside(tree: ast.Module) -> set[str]:
    """Names that a function says are not its own."""
    return {name for node in ast.walk(tree) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}


def _parts_for_people(tree: ast.Module, names: Set[str]) -> Iterator[ast.AST]:
    """What of a module ends in a text: arguments of errors and of log lines, bodies and values of `names`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield from node.body
        elif isinstance(node, ast.Assert) and node.msg is not None:
            yield node.msg
        elif isinstance(node, ast.Call) and (logs(node) or name_of(node.func).endswith(FAULTS)):
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            yield from (argument for argument in arguments if logs(node) or is_text(argument, names))
        elif isinstance(node, ast.Assign | ast.AugAssign) and holds_text(node, names):
            yield node.value


def _shown_names(node: ast.AST, names: Set[str]) -> Iterator[ast.AST]:
    """Names in `node` whose value reaches no function that may do something with it."""
    if isinstance(node, ast.Call) and not shows(node, names) and not name_of(node.func).endswith(FAULTS):
        return
    if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _shown_names(child, names)
