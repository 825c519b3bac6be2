"""Sources with other words in the texts of their errors."""

import ast

from tasks.cache.counted_syntax import parsed
from tasks.cache.texts import FAULTS


def reworded(source: str) -> tuple[str, int]:
    """The source with other words in the texts of all errors that it makes, and the number of these errors."""
    tree, errors = parsed(source), 0
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(FAULTS):
            texts = [node for part in call.args for node in _literals(part)]
            errors += bool(texts)
            for text in texts:
                text.value = f"other words than {text.value}"
    return ast.unparse(tree), errors


def _literals(node):
    """The strings of a text; those within a call are arguments of it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node]
    children = [] if isinstance(node, ast.Call | ast.Subscript) else ast.iter_child_nodes(node)
    return [found for child in children for found in _literals(child)]
