"""Files with settings: TOML, of a bounded size, from editors of every system."""

import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.files import is_file
from mmctr.common.text import first_line
from mmctr.encoders.names import parse_model

LARGEST_BYTES = 1_000_000  # of a file with settings


def read_text(path: Path, *, option: str = "--config") -> str:
    """The text of a file with settings, which is UTF-8; `option` is what names it.

    Raises:
        InputError: there is no such file, it is too large, or it has another encoding.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"no configuration file at {path}; name a TOML file with {option}") from None
    except (ValueError, OSError) as error:
        raise _unreadable(error, path) from None
    if len(content) > LARGEST_BYTES:
        raise InputError(f"a file with settings must have at most {LARGEST_BYTES:,} bytes; {path} has more")
    return _decoded(content, path=path)


def parsed(text: str, *, path: Path) -> dict[str, Any]:
    """The settings in a text, with a checkpoint's path as it is written.

    Raises:
        InputError: it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # whole numbers of thousands of digits are a ValueError
        raise _unreadable(error, path) from None


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a file, with a checkpoint's path as it is written.

    Raises:
        InputError: it cannot be read, or is no TOML.
    """
    return parsed(read_text(path), path=path)


def resolve_model(values: dict[str, Any], *, folder: Path) -> None:
    """A checkpoint's path in a file is meant from that file's folder."""
    embed = values.get("embed")
    if isinstance(embed, dict) and isinstance(embed.get("model"), str):
        with suppress(InputError):  # the settings are checked as a whole
            name = parse_model(embed["model"])
            if is_file(folder / name.weights):
                embed["model"] = str(name.with_weights(folder / name.weights))


def _unreadable(error: Exception, path: Path) -> InputError:
    raise_if_of_the_machine(error, path=path)
    return InputError(f"{path} is not a readable TOML file: {first_line(error)}")


def _decoded(content: bytes, *, path: Path) -> str:
    """Editors of Windows put a mark before UTF-8, or write in another encoding."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else f"the byte {content[error.start]:#x}"
        raise InputError(
            f"a TOML file must be in UTF-8, {path} is not a readable TOML file: it has {found} in line {line}; save it "
            "as UTF-8"
        ) from None
