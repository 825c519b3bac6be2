"""The files of an archive that comes in parts, and under which names its first part is looked for.

The name of each part follows from the name before it, as rarfile has it: `a.part09.rar`, `a.part10.rar`; `a_2.rar`,
`a_3.rar`; of RAR 1.5 to 4 without the flag for new names also `a.rar`, `a.r00`, `a.r01`.
"""

from collections.abc import Callable
from pathlib import Path

import rarfile

from mmctr.common.files import is_file
from mmctr.images.rar.headers import headers_of

MAX_PARTS = 65_535


def archive_parts(archive: Path) -> list[Path]:
    """All files that belong to `archive`, which is its first part, as far as they are there.

    The archive's first header says whether there are more parts; a RAR5 archive with encrypted headers does not say so
    without its password, and is then taken for one in parts. Whether the last part is the last one only a listing says.
    """
    parts, following = [archive], _naming(archive)
    while following is not None and len(parts) < MAX_PARTS:
        try:
            part = Path(following(str(parts[-1])))
        except rarfile.BadRarName:
            break
        if not is_file(part):
            break
        parts.append(part)
    return parts


def _naming(archive: Path) -> Callable[[str], str] | None:
    """How the name of the next part is made; None for an archive in one file, and for what is no archive at all."""
    try:
        first = headers_of(archive, password=None).first_header()
    except Exception:  # a damaged header can raise nearly anything in rarfile; a listing says what is wrong
        return None
    if first is None:
        return None
    is_encrypted = first.type == rarfile.RAR5_BLOCK_ENCRYPTION
    if not (is_encrypted or first.flags & rarfile.RAR_MAIN_VOLUME):
        return None
    new_names = is_encrypted or first.flags & rarfile.RAR_MAIN_NEWNUMBERING
    naming: Callable[[str], str] = rarfile._next_newvol if new_names else rarfile._next_oldvol
    return naming
