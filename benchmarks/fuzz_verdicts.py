"""What a fuzzed reader may do: answer, or refuse in words that a person can read."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

MESSAGE_LINES, MESSAGE_CHARACTERS = 25, 6000


class Reader(NamedTuple):
    """`prepare` is called once in a folder, `case` for each case in a fresh one."""

    prepare: Callable[[Path], Any]
    case: Callable[[Any, Random, Path], str]


def refused(call: Callable[[], object]) -> str:
    """Run `call`; "refused" where it ends with an InputError whose message a person can read."""
    from mmctr.common.errors import InputError

    try:
        call()
    except InputError as error:
        message = str(error)
        assert message.strip(), "an empty message"
        assert message.count("\n") < MESSAGE_LINES, f"a message of {message.count(chr(10)) + 1} lines"
        assert len(message) <= MESSAGE_CHARACTERS, f"a message of {len(message)} characters"
        return "refused"
    return "read"


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Kind and content of everything below `folder`."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }
