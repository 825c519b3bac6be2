"""The Prefect server that a command reports to: the configured one, which must answer, or a temporary one."""

from flows.process.environment import TEMPORARY_SERVER, drop_unusable_proxies

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

from flows.process.prefect_settings import load_settings, use_home
from flows.process.temporary_server import TemporaryServer
from flows.process.terminal import say
from mmctr.common.errors import InputError, causes
from mmctr.common.text import first_line, shown_value

if TYPE_CHECKING:
    from prefect.settings import Settings

ANSWER_SECONDS = 15.0  # for a configured server to answer three short questions
LOOK_SECONDS, AWAY_SECONDS = 10.0, 120.0  # between two looks at it; without an answer, before the command ends
OTHERWISE = "start it (make ui), correct PREFECT_API_URL, or unset it, and a temporary server is used"


def connect(*, on_loss: Callable[[str], None]) -> Callable[[], None]:
    """Make sure that there is a server, before any work.

    Args:
        on_loss: called, in a thread, with the reason, when the server is gone for good while the command still runs.

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
        check_result_block(settings.results.default_storage_block)
        return partial(watch_configured, on_loss=on_loss)
    if not settings.server.ephemeral.enabled:
        raise InputError(
            f"Prefect needs a server: PREFECT_API_URL is not set, and {' or '.join(TEMPORARY_SERVER)} forbids a "
            "temporary one; set the first, or unset the second"
        )
    say(home_problem or "starting Prefect's temporary server")
    server = _start_temporary(settings, own_home=bool(home_problem), on_loss=on_loss)

    def wait() -> None:
        server.wait()
        check_result_block(settings.results.default_storage_block)

    return wait


def _start_temporary(settings: "Settings", *, own_home: bool, on_loss: Callable[[str], None]) -> TemporaryServer:
    """Start a temporary server, and let Prefect's client in this process know of it."""
    server = TemporaryServer(
        timeout=settings.server.ephemeral.startup_timeout_seconds,
        temporary_home=os.environ["PREFECT_HOME"] if own_home else "",
        on_loss=on_loss,
    )
    os.environ["PREFECT_API_URL"] = server.url
    os.environ.setdefault("PREFECT_UI_URL", "")  # it has no pages
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    return server


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


def check_result_block(name: str | None) -> None:
    """Refuse a block for results that Prefect cannot load, as each flow would end with a trace.

    Raises:
        InputError: Prefect's server has no such block, or it cannot be used here.
    """
    if name is None:
        return
    from prefect.results import get_default_result_storage

    try:
        get_default_result_storage()
    except Exception as error:
        raise InputError(
            f"PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK must name a block of Prefect's server, and {shown_value(name)} "
            f"cannot be loaded ({first_line(error)}); unset it: results of a run are in BASE_PATH/.mmctr"
        ) from error


def watch_configured(*, on_loss: Callable[[str], None]) -> None:
    """Look after the configured server, as Prefect's client would try again for a minute at each call."""
    from prefect.client.orchestration import get_client

    def watch() -> None:
        with get_client(sync_client=True) as client:
            answered = time.monotonic()
            while True:
                time.sleep(LOOK_SECONDS)
                problem = client.api_healthcheck()
                if problem is None:
                    answered = time.monotonic()
                elif time.monotonic() - answered > AWAY_SECONDS:
                    on_loss(f"the Prefect server at {client.api_url} no longer answers ({_last_cause(problem)})")
                    return

    threading.Thread(target=copy_context().run, args=(watch,), name="watch-prefect", daemon=True).start()


@contextmanager
def server_that_stays() -> Iterator[None]:
    """Say in one line that Prefect's server went away while a flow ran, where Prefect's client stopped asking.

    Raises:
        InputError: instead of the client's error.
    """
    from httpx import TransportError

    try:
        yield
    except Exception as error:
        if not any(isinstance(cause, TransportError) for cause in causes(error)):
            raise
        raise InputError(
            f"Prefect's server must answer while a flow runs, and no longer does ({_last_cause(error)}); what was done "
            "is kept: start it, then run the same command again"
        ) from error


def _last_cause(error: BaseException) -> str:
    """The first line of the innermost error that says something."""
    return first_line([cause for cause in causes(error) if str(cause)][-1] if str(error) else error)


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
        return f"{_last_cause(failure)}; {OTHERWISE}"
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
