"""What of a module's source counts, change by change, and for the texts of every error of the library."""

import ast
import builtins
import random

import pytest
from project import PROJECT
from reworded import reworded

from mmctr.common import text
from tasks.cache.code_digest import NEUTRAL
from tasks.cache.counted_syntax import counted_syntax, parsed
from tasks.cache.texts import SHOWING, TEXTS

LIBRARY = sorted((PROJECT / "mmctr").rglob("*.py"))


def counted(source: str) -> str:
    return ast.dump(counted_syntax(source.encode(), neutral=NEUTRAL.keys()))


def function(*lines: str) -> str:
    return "\n    ".join(["def work(rows, path):", *lines, "return rows"])


SAME = {
    "a docstring": (function(), function('"""What it does."""')),
    "a comment": (function(), function("# why")),
    "a log line": (function("pass"), function('logger.info("%d rows", len(rows))')),
    "a stage's log line": (function(), function('logger().warning("%s: %s", path, ", ".join(rows))')),
    "the first log line": ("", "import logging\nlogger = logging.getLogger(__name__)"),
    "an error's text": (function('raise InputError("a")'), function('raise InputError(f"{shown(path)} b")')),
    "an error that is returned": (function('return InputError("a")'), function('return InputError("b")')),
    "with a cause": (function('raise InputError("a") from path'), function('raise InputError("b" + "c") from path')),
    "the text of the cause": (function('raise A() from E.TheError("a")'), function('raise A() from E.TheError("b")')),
    "put together": (function('raise InputError("%s" % path)'), function('raise InputError("a " + "b".join(rows))')),
    "one of two": (
        function('raise InputError("a" if rows else "b")'),
        function('raise InputError("c" if path else str(rows))'),
    ),
    "an assertion's": (function("assert rows"), function('assert rows, f"{path} has no rows"')),
    "a warning's": (function('warnings.warn("a", UserWarning)'), function('warnings.warn("b", UserWarning)')),
    "of a class's own error": (
        'class LostError(A):\n    def __init__(self, path):\n        super().__init__(f"lost {path}")',
        'class LostError(A):\n    def __init__(self, path):\n        super().__init__("gone")',
    ),
    "what an error's text is made with": (
        "from mmctr.common.errors import InputError\n" + function('raise InputError("a")'),
        "from mmctr.common.errors import InputError\nfrom mmctr.common.text import shown\n"
        + function('raise InputError(f"{shown(path)}")'),
    ),
    "for type checkers": ("", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mmctr.models import din"),
    "bound first": (
        function('why = "a"', 'why += f"{path}"', 'raise InputError(f"{why}; b")'),
        function('why = f"{path}"', 'why += "c"', "raise InputError(why)"),
    ),
    "a constant of the module": (
        '_WHY = "a"\n' + function("raise InputError(_WHY)"),
        '_WHY = "b"\n' + function('raise InputError(f"{path}: {_WHY}")'),
    ),
    "made by a helper": (
        'def _problem(path) -> str:\n    state = "gone"\n    return f"{path} is {state}"\n'
        + function("raise InputError(_problem(path))"),
        'def _problem(path) -> str:\n    state = "lost"\n    return f"is {state}: {path}"\n'
        + function("raise InputError(_problem(path))"),
    ),
    "made by a helper's helper": (
        'def _state() -> str:\n    return "gone"\ndef _problem(path) -> str:\n    return f"{path}: {_state()}"\n'
        + function('raise InputError(f"{_problem(path)}; stop")'),
        'def _state() -> str:\n    return "lost"\ndef _problem(path) -> str:\n    return f"{_state()}: {path}"\n'
        + function('raise InputError(f"{_problem(path)}; go")'),
    ),
}
OTHER = {
    "a statement": (function(), function("rows += 1")),
    "an error's class": (function('raise InputError("a")'), function('raise OtherError("a")')),
    "an error's number": (function('raise OSError(1, "a")'), function('raise OSError(2, "a")')),
    "an error's values": (function("raise LostError(path)"), function("raise LostError(rows)")),
    "whether there is an error": (function('raise InputError("a")'), function()),
    "the cause": (function('raise InputError("a")'), function('raise InputError("a") from path')),
    "the condition": (function('if rows: raise InputError("a")'), function('if path: raise InputError("a")')),
    "what is asserted": (function('assert rows, "a"'), function('assert path, "a"')),
    "a warning's class": (function('warnings.warn("a", UserWarning)'), function('warnings.warn("a", FutureWarning)')),
    "an assignment in a text": (
        function('raise InputError(f"{(count := 1)}")'),
        function('raise InputError(f"{(count := 2)}")'),
    ),
    "a call that may do something in a text": (
        function('raise InputError(f"{rows.pop()}")'),
        function('raise InputError(f"{len(rows)}")'),
    ),
    "the same in a log line": (function('logger.info("%s", rows.pop())'), function('logger.info("%s", rows)')),
    "a text for a call that may do something": (
        function("raise InputError(f\"{write('a')}\")"),
        function("raise InputError(f\"{write('b')}\")"),
    ),
    "an exception that carries a value": (function('raise Unreadable("a")'), function('raise Unreadable("b")')),
    "a text that is bound, and compared": (
        function('why = "a"', "if why == path: return", "raise InputError(why)"),
        function('why = "b"', "if why == path: return", "raise InputError(why)"),
    ),
    "a text that is bound, and stored": (
        function('why = "a"', "path.why = why", "raise InputError(why)"),
        function('why = "b"', "path.why = why", "raise InputError(why)"),
    ),
    "a text that is bound, and returned elsewhere": (
        function('why = "a"', "raise InputError(why)") + "\ndef other():\n    why = 1\n    return why",
        function('why = "b"', "raise InputError(why)") + "\ndef other():\n    why = 1\n    return why",
    ),
    "a text of the module that others may import": (
        'WHY = "a"\n' + function("raise InputError(WHY)"),
        'WHY = "b"\n' + function("raise InputError(WHY)"),
    ),
    "a global text": (
        "_WHY = 1\n" + function("global _WHY", '_WHY = "a"', "raise InputError(_WHY)"),
        "_WHY = 1\n" + function("global _WHY", '_WHY = "b"', "raise InputError(_WHY)"),
    ),
    "an error's number that is bound first": (
        function("code = 1", "other = 1", 'raise OSError(code, "a")'),
        function("code = 1", "other = 1", 'raise OSError(other, "a")'),
    ),
    "what a bound text does": (
        function('why = f"{rows.pop()}"', "raise InputError(why)"),
        function('why = f"{len(rows)}"', "raise InputError(why)"),
    ),
    "a text that is appended": (function('rows.append("a")'), function('rows.append("b")')),
    "a helper's condition": (
        'def _problem(path) -> str:\n    return "a" if path else "b"\n' + function("raise InputError(_problem(path))"),
        'def _problem(path) -> str:\n    return "a" if not path else "b"\n'
        + function("raise InputError(_problem(path))"),
    ),
    "a helper whose text goes elsewhere too": (
        'def _problem(path) -> str:\n    return "a"\n'
        + function("rows.append(_problem(path))", "raise InputError(_problem(path))"),
        'def _problem(path) -> str:\n    return "b"\n'
        + function("rows.append(_problem(path))", "raise InputError(_problem(path))"),
    ),
    "a helper whose text is handed to something": (
        'def _problem(path) -> str:\n    return "a"\n' + function('raise InputError(f"{note(_problem(path))}")'),
        'def _problem(path) -> str:\n    return "b"\n' + function('raise InputError(f"{note(_problem(path))}")'),
    ),
    "a helper that returns no text": (
        'def _problem(path) -> list[str]:\n    return ["a"]\n' + function('raise InputError(f"{_problem(path)}")'),
        'def _problem(path) -> list[str]:\n    return ["b"]\n' + function('raise InputError(f"{_problem(path)}")'),
    ),
    "a helper that changes something": (
        'def _problem(path) -> str:\n    path.name = "a"\n    return "a"\n'
        + function("raise InputError(_problem(path))"),
        'def _problem(path) -> str:\n    path.name = "b"\n    return "a"\n'
        + function("raise InputError(_problem(path))"),
    ),
    "a public function": (
        'def problem(path) -> str:\n    return "a"\n' + function("raise InputError(problem(path))"),
        'def problem(path) -> str:\n    return "b"\n' + function("raise InputError(problem(path))"),
    ),
    "a key of a table": (function('rows["a"] = 1'), function('rows["b"] = 1')),
    "an import": ("", "from mmctr.models import din"),
    "a base class": ("class A(B):\n    pass", "class A(C):\n    pass"),
}


@pytest.mark.parametrize("name", SAME)
def test_what_does_not_count(name):
    before, after = SAME[name]
    assert counted(before) == counted(after)


@pytest.mark.parametrize("name", OTHER)
def test_what_counts(name):
    before, after = OTHER[name]
    assert counted(before) != counted(after)


def test_no_reworded_error_of_the_library_counts():
    total = 0
    for path in LIBRARY:
        source = path.read_text()
        other, errors = reworded(source)
        assert counted(other) == counted(source), path
        assert (ast.unparse(parsed(other)) != ast.unparse(parsed(source))) == bool(errors), path
        total += errors
    assert total > 150


def test_every_changed_statement_of_the_library_counts():
    """A statement more in some functions of each module."""
    chosen = random.Random(0)
    for path in LIBRARY:
        tree = parsed(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        before = counted(ast.unparse(tree))
        for changed in chosen.sample(functions, min(3, len(functions))):
            body = changed.body
            changed.body = [*body, parsed("changed()").body[0]]
            assert counted(ast.unparse(tree)) != before, (path, changed.name)
            changed.body = body


def test_functions_that_show_are_pythons_or_make_words():
    made_there = {name for name, value in vars(text).items() if getattr(value, "__module__", "") == text.__name__}
    assert SHOWING - set(dir(builtins)) == TEXTS - set(dir(builtins)) == made_there


def test_no_module_takes_private_functions_of_another():
    """Whether a private function makes texts for people alone is seen in its own module."""
    for path in LIBRARY:
        for node in ast.walk(parsed(path.read_bytes())):
            if isinstance(node, ast.ImportFrom):
                assert not [alias.name for alias in node.names if alias.name.startswith("_")], path
