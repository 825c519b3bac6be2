"""The name under which the models of a data set are registered, after its folder.

One registry has one champion for a name, so data sets that share a name would compare models of different data.
"""

import re
from pathlib import Path

LONGEST = 100  # characters
_OTHER = re.compile(r"[^\w.-]+", re.ASCII)


def model_name(folder: Path) -> str:
    """The name of a folder with what a registry takes: letters, digits, `_`, `-` and `.`."""
    cleaned = _OTHER.sub("-", folder.resolve().name[:LONGEST]).strip("-.")
    return cleaned or "data"
