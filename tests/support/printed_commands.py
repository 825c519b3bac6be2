"""The commands that the documents print, as a user would type them."""

import re
import shlex
from pathlib import Path

from project import PROJECT

DOCUMENTS = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "docs/operations.md", "deploy/README.md")]
PROGRAMS = ("make", "mmctr", "prefect", "mlflow", "python", "export", "source", "docker", "pip")


def blocks(document: Path) -> list[str]:
    """The indented and the fenced blocks of a Markdown file, without their indentation."""
    text = document.read_text(encoding="utf-8")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(
        r"(?:\n|^)\n((?:    .*\n|\n)+)", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    return [*fenced, *(re.sub("^    ", "", block, flags=re.MULTILINE).strip("\n") + "\n" for block in indented)]


def commands(document: Path) -> list[list[str]]:
    """The words of each command in the blocks of a document, its comment left out, in order."""
    lines = [line for block in blocks(document) for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.split(" ")[0] in PROGRAMS]


def inline_commands(document: Path) -> list[list[str]]:
    """The words of each command that stands in the text or in a table, in its whole."""
    found = re.findall(r"`((?:mmctr|prefect) [^`]+)`", document.read_text(encoding="utf-8"))
    return [shlex.split(text) for text in found if not re.search(r"[\[\]|]|\.\.\.", text)]


def printed(program: str, *words: str) -> list[str]:
    """The one command of README that begins with these words, without the program."""
    whole = [line[1:] for line in commands(PROJECT / "README.md") if line[: 1 + len(words)] == [program, *words]]
    assert len(whole) == 1, (program, words, whole)
    return whole[0]


def python_blocks(document: Path) -> list[str]:
    """The blocks of a document that are Python programs."""
    return [block for block in blocks(document) if block.startswith(("import ", "from "))]
