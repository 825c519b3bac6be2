"""Components that a user chooses by name. Each is a module of a package, and its name is the module's.

A setting names the component, so a cache key counts it in the runs that use it and in no others
(docs/decisions/0039-components-are-loaded-by-name.md). Nothing else in the library loads a module by its name.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from mmctr.common.errors import InputError
from mmctr.common.text import shown_value


def load_component(package: str, name: str) -> Any:
    """What the module `name` of `package` calls COMPONENT.

    Raises:
        InputError: there is no such module; the message has the names of those there are.
    """
    module = f"{package}.{name}"
    try:
        if name.isidentifier() and not name.startswith("_"):
            return import_module(module).COMPONENT
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
    names = sorted(found.name for found in iter_modules(import_module(package).__path__))
    raise InputError(f"a component of {package} must be one of {', '.join(names)}; found {shown_value(name)}")
