"""What the environment of a process must be before Prefect, MLflow and PyTorch are imported, as they read it then.

Importing this module sets what they would otherwise do loudly or too hastily, unless the user has decided otherwise.
Each way into the flows imports it first.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from mmctr.compute.cores import bound_cores, usable_cores

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # the same bits in every run on CUDA (PyTorch, notes on reproducibility)
    "DO_NOT_TRACK": "1",
    "GOMP_SPINCOUNT": "1000",  # PyTorch's threads; docs/decisions/0006-threads-that-do-not-spin.md
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # 12 s for a server that is gone, not 4 minutes; run.retries comes on top
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "mmctr",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # the library may speak outside a flow
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
THREADS = ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
TEMPORARY_SERVER = ("PREFECT_SERVER_EPHEMERAL_ENABLED", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE")
# Those of Python's logging, which must not be imported before the current folder is out of the way.
LOG_LEVELS = ("CRITICAL", "FATAL", "ERROR", "WARN", "WARNING", "INFO", "DEBUG", "NOTSET")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def set_defaults() -> None:
    """Set what the user has not decided otherwise."""
    _need_a_home()
    if "PREFECT_HOME" not in os.environ:  # docs/decisions/0025-a-prefect-home-and-server-for-each-project.md
        profiles = Path.home() / ".prefect" / "profiles.toml"  # the user's profiles still count
        if os.path.isfile(profiles):  # noqa: PTH113 false where the home is another user's
            os.environ.setdefault("PREFECT_PROFILES_PATH", str(profiles))
        os.environ["PREFECT_HOME"] = str(PROJECT / "mlruns" / "prefect")
    if not any(name in os.environ for name in TEMPORARY_SERVER):  # pyproject.toml forbids it to `prefect deploy`
        os.environ[TEMPORARY_SERVER[0]] = "true"
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if os.environ["MLFLOW_LOGGING_LEVEL"].upper() not in LOG_LEVELS:  # MLflow ends with a trace
        os.environ["MLFLOW_LOGGING_LEVEL"] = SETTINGS["MLFLOW_LOGGING_LEVEL"]
    if os.environ.get("POLARS_MAX_THREADS", "").strip("+0") == "":  # Polars panics at 0; Python's own count begins at 1
        os.environ.pop("POLARS_MAX_THREADS", None)
    if usable_cores() < bound_cores():  # a quota, as in a container: threads are counted by cores and would wait for it
        for name in THREADS:
            os.environ.setdefault(name, str(usable_cores()))
    if any(os.environ.get(name) for name in PROXIES):
        _ask_own_servers_directly()


def _need_a_home() -> None:
    """Let a user without `HOME` and without an entry in /etc/passwd, as in a container, be at home in the project."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(PROJECT / "mlruns")


def _ask_own_servers_directly() -> None:
    """Except the loopback addresses from the proxies of the environment."""
    named = [name for name in ("no_proxy", "NO_PROXY") if os.environ.get(name)]
    known = os.environ[named[0]] if named else ""  # the lower-case one is read first
    if known != "*":
        missing = [host for host in LOOPBACK if host not in known.split(",")]
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*filter(None, [known]), *missing])


def drop_unusable_proxies() -> list[str]:
    """Remove proxies that no client here can use, as even a request that needs none would fail; returns their names."""
    if find_spec("socksio") is not None:
        return []
    unusable = [name for name in PROXIES if os.environ.get(name, "").lower().startswith("socks")]
    for name in unusable:
        del os.environ[name]
    return unusable


def import_nothing_from_here() -> None:
    """Take the current folder from where modules are searched, in this process and in those that it starts.

    `python -m` and an empty entry of PYTHONPATH put it there. The project's own folder may stay.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    here = Path().resolve()
    if here == PROJECT:
        return
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if entries != [""]:
        os.environ["PYTHONPATH"] = os.pathsep.join(entry for entry in entries if Path(entry).resolve() != here)


set_defaults()
