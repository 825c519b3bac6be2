"""Whether the MLflow store can be used: seen in a moment, before any work.

MLflow itself is imported only for a server; a database is opened as MLflow would, and read by a few lines of SQL.
"""

import os
import socket
from importlib.metadata import entry_points
from urllib.parse import urlsplit

from mmctr.common.errors import InputError
from mmctr.common.text import first_line
from tasks.tracking.store_address import shown
from tasks.tracking.store_database import check_database
from tasks.tracking.store_folder import ANOTHER

KINDS = "an MLflow store is a server (http://...) or a database (sqlite:////absolute/path/mlflow.db, postgresql://...)"
DATABASES = ("postgresql", "mysql", "mssql")
SERVERS = ("http", "https")
DATABRICKS = ("databricks", "databricks-uc", "uc")
PORTS = {"postgresql": 5432, "mysql": 3306}
CONNECT_SECONDS = 5


def check_store(address: str, experiment: str, *, writes: bool = True) -> None:
    """Refuse a store that cannot be used.

    Args:
        address: of the store.
        experiment: name of the experiment that runs are to be in.
        writes: whether the store is to be written, too.

    Raises:
        InputError: it cannot be used, or the registry of its models, where MLFLOW_REGISTRY_URI names another one; with
            the reason and what to do.
    """
    _check_address(address, experiment, writes=writes)
    registry = os.environ.get("MLFLOW_REGISTRY_URI", "").strip()
    if registry not in ("", address):
        try:
            _check_address(registry, experiment, writes=writes)
        except InputError as error:
            raise InputError(str(error).replace("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")) from error


def _check_address(address: str, experiment: str, *, writes: bool) -> None:
    scheme = address.partition(":")[0] if ":" in address or address in DATABRICKS else ""
    kind = scheme.partition("+")[0]
    if kind == "sqlite":
        if scheme != kind:
            _check_driver(address)
        check_database(address, experiment, writes=writes)
    elif kind in SERVERS and _names_a_host(address):
        from tasks.tracking.store_server import check_server  # imports MLflow

        check_server(address, experiment)
    elif kind in DATABASES:
        _check_driver(address)
    elif kind in ("", "file"):
        if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
            raise InputError(
                f"{KINDS}; {shown(address)} is a folder, which MLflow writes no longer; {ANOTHER}. "
                "`mlflow migrate-filestore` moves what is in the folder to a database"
            )
    elif kind not in (*DATABRICKS, *_plugins()):
        raise InputError(f"{KINDS}; found {shown(address)}; {ANOTHER}")


def _names_a_host(address: str) -> bool:
    try:
        return bool(urlsplit(address).hostname)
    except ValueError:
        return False


def _plugins() -> set[str]:
    return {point.name for point in entry_points(group="mlflow.tracking_store")}


def _check_driver(address: str) -> None:
    """Refuse a database whose driver is not installed, whose address cannot be read, or whose host does not answer."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        url = make_url(address)
        url.get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        raise InputError(
            f"the MLflow store {shown(address)} needs the Python package {error.name}, which is missing; install it in "
            f"this environment ({_install(str(error.name))}), or {ANOTHER}"
        ) from None
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise InputError(f"{KINDS}; {shown(address)} cannot be read ({first_line(error)}); {ANOTHER}") from None
    port = url.port or PORTS.get(url.get_backend_name())
    if url.host and port:
        try:
            socket.create_connection((url.host, port), timeout=CONNECT_SECONDS).close()
        except OSError as error:  # drivers wait for minutes
            raise InputError(
                f"the MLflow store at {shown(address)} must answer, and does not ({first_line(error)}); start it, or "
                "set MLFLOW_TRACKING_URI to another one"
            ) from error


def _install(module: str) -> str:
    packages = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
    return f"pip install {packages.get(module, module)}"
