"""Which image a member is, by its name alone.

Only a part of a member's name is used as a key, and what is written to a disk is never called by more than an integer
or a digest: no member's path becomes a path.
"""

import hashlib
import re
from typing import Literal, NamedTuple

Naming = Literal["integer", "text", "path"]  # the stem is an integer id, the stem is a text id, the path is the key
MAX_ITEM_ID = 2**63 - 1
MAX_ID_BYTES = 256  # of a text id
# RAR5 and tar keep a backslash in a name, so both separators end a folder's name.
_IMAGE_NAME = re.compile(
    r"(?:.*[/\\])?([^/\\]*)(\.(?:jpg|jpeg|png|webp|gif|bmp))", re.DOTALL | re.IGNORECASE | re.ASCII
)
_INTEGER = re.compile(r"0*([1-9][0-9]{0,18})", re.ASCII)


class ImageName(NamedTuple):
    """The key of an image in the manifest, and what its file is called."""

    key: str
    file_name: str


def naming_of(image_column: str, *, text_ids: bool) -> Naming:
    """How images are called: as a column of the items says where one is named, else by the ids, integers or texts."""
    return "path" if image_column else "text" if text_ids else "integer"


def image_name(member_name: str, *, names: Naming) -> ImageName | None:
    """Key and file name of a member, or None where it is no image: `a/00003.JPEG` is ("3", "3.jpg") by its integer.

    A text id is the stem exactly as it is, at most 256 bytes of UTF-8. A path is `image_path` of the member's name.
    Companions that macOS writes beside a file (`._1.jpg`, `__MACOSX/`) are images by no rule.
    """
    match = _IMAGE_NAME.fullmatch(member_name)
    if match is None or _is_companion(member_name):
        return None
    stem, extension = match[1], match[2].lower()
    extension = ".jpg" if extension == ".jpeg" else extension
    if names == "integer":
        integer = _INTEGER.fullmatch(stem)
        if integer is None or int(integer[1]) > MAX_ITEM_ID:
            return None
        return ImageName(integer[1], integer[1] + extension)
    key = image_path(member_name) if names == "path" else stem
    try:
        content = key.encode()
    except UnicodeEncodeError:  # the bytes of a name that is no UTF-8, which no table can hold
        return None
    if names == "text" and not 1 <= len(content) <= MAX_ID_BYTES:
        return None
    return ImageName(key, hashlib.sha256(content).hexdigest() + extension)


def image_path(name: str) -> str:
    """A member's path as a key: `/` between its parts, and none of them empty or `.`"""
    if "\\" not in name and "//" not in name and "./" not in name and name[:1] != "/":
        return name
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _is_companion(name: str) -> bool:
    """Whether macOS made it beside a file: its resources, which have the file's own name behind `._`."""
    if "._" not in name and "__MACOSX" not in name:
        return False
    *folders, last = re.split(r"[/\\]", name)
    return last.startswith("._") or "__MACOSX" in folders
