"""Prefect's settings and its home, before anything asks Prefect for more."""

from flows.process.environment import PROJECT

import atexit
import contextlib
import io
import os
import re
import shutil
import sys
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from flows.process.temporary_server import temporary_folder
from mmctr.common.errors import InputError
from mmctr.common.text import first_line, shown_value

if TYPE_CHECKING:
    from prefect.settings import Settings

SETTINGS_FILES: dict[str, Callable[[str], bool]] = {  # which Prefect reads, and whether a text has settings of it
    ".env": lambda text: re.search(r"^\s*(export\s+)?PREFECT_", text, flags=re.MULTILINE | re.IGNORECASE) is not None,
    "prefect.toml": lambda text: bool(tomllib.loads(text)),
    "pyproject.toml": lambda text: bool(tomllib.loads(text).get("tool", {}).get("prefect")),
}


def use_home() -> str:
    """Make `PREFECT_HOME` a folder that can be written, a temporary one where it is none; returns what was wrong."""
    home = Path(os.path.expanduser(os.environ["PREFECT_HOME"])).absolute()  # noqa: PTH111 an unknown user stays as it is
    os.environ["PREFECT_HOME"] = str(home)
    probe = home / f".{os.getpid()}.probe"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.write_bytes(bytes(4096))
    except OSError as error:
        os.environ["PREFECT_HOME"] = folder = temporary_folder()
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return (
            f"Prefect's folder {home} cannot be written ({error.strerror}); its temporary server uses a temporary "
            "folder instead. To keep Prefect's records, set PREFECT_HOME to another folder"
        )
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return ""


def load_settings() -> "Settings":
    """Prefect's settings, wherever they are.

    Raises:
        InputError: Prefect cannot read them, or does not accept them.
    """
    refuse_settings_of_other_folders()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), warnings.catch_warnings():
            from prefect.settings import get_current_settings

            settings = get_current_settings()
    except ImportError:
        raise
    except Exception as error:
        profiles = os.environ.get("PREFECT_PROFILES_PATH") or f"{os.environ['PREFECT_HOME']}/profiles.toml"
        raise InputError(
            f"Prefect's settings must be usable, and are not: {_setting_at_fault(error)}; correct or remove it where "
            f"it stands: a variable PREFECT_..., {profiles}, or .env, prefect.toml or pyproject.toml of this folder"
        ) from error
    sys.stderr.write(said.getvalue())  # such as a profile that is named and not there
    return settings


def refuse_settings_of_other_folders() -> None:
    """Refuse Prefect's settings in the current folder, unless that is the project's: they can name code to run.

    Raises:
        InputError: with the file.
    """
    if Path().resolve() == PROJECT:
        return
    for name, has_settings in SETTINGS_FILES.items():
        file = Path(name).absolute()
        try:
            found = has_settings(file.read_text())
        except FileNotFoundError:
            continue
        except (OSError, ValueError):  # Prefect could not read it either
            found = True
        if found:
            raise InputError(
                f"Prefect takes settings from the current folder, which may be anybody's data: {file} has some, or "
                "cannot be read; run in another folder, and set what you need as variables (PREFECT_...)"
            )


def _setting_at_fault(error: Exception) -> str:
    """The first setting that Prefect does not accept, its value and the rule."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    fault = error.errors()[0]
    field = "_".join(map(str, fault["loc"])).upper()
    names = (name for name in os.environ if name.startswith("PREFECT_") and name.endswith(field))
    return f"{next(names, f'{error.title} {field}')} = {shown_value(fault['input'])}: {fault['msg']}"
