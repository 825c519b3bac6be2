"""The address of the MLflow store: where it comes from, and the file of a local one. MLflow is not imported."""

import os
import re
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote

PROJECT = Path(__file__).resolve().parents[2]


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else the SQLite store `mlruns/mlflow.db` of the project.

    A relative path of a database means the current folder; it is made absolute, so that it means one file to all.
    """
    address = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or sqlite_uri(PROJECT / "mlruns" / "mlflow.db")
    database = local_database(address)
    if database is None or "?" in address:  # options, or a name that cannot be written in another way
        return address
    return sqlite_uri(database)


def sqlite_uri(path: Path) -> str:
    """Address of a database file, whatever its name; a question mark would begin the options."""
    if "?" not in str(path):
        return f"sqlite:///{path}"
    return f"sqlite:///file:{quote(str(path), safe='')}?uri=true"


def local_database(address: str) -> Path | None:
    """Absolute path of the file of an SQLite store; None for any other store, and for one in memory."""
    scheme, _, rest = address.partition(":///")
    path, _, query = rest.partition("?")
    options = parse_qs(query)
    if options.get("uri") and path.startswith("file:"):
        path = unquote(path.removeprefix("file:"))
    in_memory = path in ("", ":memory:") or "memory" in options.get("mode", [])
    return None if scheme.partition("+")[0] != "sqlite" or in_memory else Path(path).absolute()


def shown(address: str) -> str:
    """An address for the eye: without its password, and not longer than a line."""
    text = re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", address).replace("\n", "\\n")
    return text if len(text) <= 200 else f"{text[:197]}..."
