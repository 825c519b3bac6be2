"""The Prefect server that a command reports to: the configured one, which must answer, or a temporary one."""

import atexit
import contextlib
import io
import os
import re
import shutil
import sys
import threading
import tomllib
import warnings
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from flows.environment import PROJECT, TEMPORARY_SERVER, drop_unusable_proxies
from flows.say import say
from flows.temporary_server import TemporaryServer, temporary_folder
from mmctr.errors import InputError, causes, first_line, shown_value

if TYPE_CHECKING:
    from prefect.settings import Settings

ANSWER_SECONDS = 15.0  # for a configured server to answer three short questions
SETTINGS_FILES: dict[str, Callable[[str], bool]] = {  # which Prefect reads, and whether a text has settings of it
    ".env": lambda text: re.search(r"^\s*(export\s+)?PREFECT_", text, flags=re.MULTILINE | re.IGNORECASE) is not None,
    "prefect.toml": lambda text: bool(tomllib.loads(text)),
    "pyproject.toml": lambda text: bool(tomllib.loads(text).get("tool", {}).get("prefect")),
}
OTHERWISE = "start it (make ui), correct PREFECT_API_URL, or unset it, and a temporary server is used"


def connect(*, on_loss: Callable[[str], None]) -> Callable[[], None]:
    """Make sure that there is a server, before any work.

    Args:
        on_loss: told, in a thread, that a temporary server is gone for good while the command still runs.

    Returns:
        A function that waits until the server answers. Other modules can be imported until then.

    Raises:
        InputError: Prefect's settings or its server cannot be used; here, or from the function returned.
    """
    for name in drop_unusable_proxies():
        say(f"{name} is not used: a SOCKS proxy needs the package socksio, which is not installed")
    home_problem = use_home()
    settings = load_settings()
    if settings.api.url:
        check_answers(settings.api.url)
        return lambda: None
    ephemeral = settings.server.ephemeral
    if not ephemeral.enabled:
        raise InputError(
            f"Prefect needs a server: PREFECT_API_URL is not set, and {' or '.join(TEMPORARY_SERVER)} forbids a "
            "temporary one; set the first, or unset the second"
        )
    say(home_problem or "starting Prefect's temporary server")
    server = TemporaryServer(
        timeout=ephemeral.startup_timeout_seconds,
        temporary_home=os.environ["PREFECT_HOME"] if home_problem else "",
        on_loss=on_loss,
    )
    os.environ["PREFECT_API_URL"] = server.url
    os.environ.setdefault("PREFECT_UI_URL", "")  # it has no pages
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    return server.wait


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
    """Prefect's settings, wherever they stand.

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
                "cannot be read; run in another folder, and give settings that you need as variables (PREFECT_...)"
            )


def _setting_at_fault(error: Exception) -> str:
    """The first setting that Prefect does not accept, its value and the rule."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    fault = error.errors()[0]
    field = "_".join(map(str, fault["loc"])).upper()
    names = (name for name in os.environ if name.startswith("PREFECT_") and name.endswith(field))
    return f"{next(names, f'{error.title} {field}')} = {shown_value(fault['input'])}: {fault['msg']}"


def check_answers(url: str) -> None:
    """Ask the configured server, through Prefect's own client, what a run will ask it.

    Raises:
        InputError: it does not answer, it does not let this user in, or it is no Prefect server of this version.
    """
    from prefect._internal.urls import strip_auth_from_url

    shown = f"the Prefect server at {shown_value(strip_auth_from_url(url))} ({_origin()})"
    failures: list[Exception] = []
    asking = threading.Thread(target=copy_context().run, args=(_ask, failures), name="ask-prefect", daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    if asking.is_alive():
        raise InputError(f"{shown} must answer, and does not within {ANSWER_SECONDS:.0f} s; {OTHERWISE}")
    for failure in failures:
        raise InputError(f"{shown} must answer, and does not: {_why(failure)}") from failure


def _ask(failures: list[Exception]) -> None:
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            client.raise_for_api_version_mismatch()
            client.read_flows(limit=1)
    except Exception as error:
        failures.append(error)


def _why(failure: Exception) -> str:
    """What went wrong in one line, and the remedy."""
    from httpx import HTTPStatusError, InvalidURL, UnsupportedProtocol

    errors = list(causes(failure))
    status = next((error.response.status_code for error in errors if isinstance(error, HTTPStatusError)), None)
    if status in (401, 403):
        return f"it answers {status}; set PREFECT_API_KEY, or PREFECT_API_AUTH_STRING, to what it accepts"
    if any(isinstance(error, InvalidURL | UnsupportedProtocol) for error in errors):
        return f"that is no address ({first_line(failure)}); it begins with http:// or https:// and ends with /api"
    if status is not None:
        return f"it answers {status}; the address of Prefect's API ends with /api, {OTHERWISE}"
    if "incompatible versions" in str(failure):
        return f"{first_line(failure)} Use a server of this version (make ui)"
    if any(isinstance(error, OSError) or type(error).__module__.startswith("httpx") for error in errors):
        known = [error for error in errors if str(error)]
        return f"{first_line(known[-1] if known else failure)}; {OTHERWISE}"
    return f"what it answers is not Prefect's; the address of Prefect's API ends with /api, {OTHERWISE}"


def _origin() -> str:
    """Where the address of the server comes from."""
    if os.environ.get("PREFECT_API_URL"):
        return "PREFECT_API_URL"
    from prefect.settings import load_profiles

    with contextlib.suppress(Exception):
        profiles = load_profiles()
        name = os.environ.get("PREFECT_PROFILE") or profiles.active_name or ""
        if any(setting.name == "PREFECT_API_URL" for setting in profiles[name].settings):
            return f"PREFECT_API_URL of Prefect's profile {name}"
    return "api.url in .env, prefect.toml or pyproject.toml of this folder"
