"""Where the files of a data set are and how their columns are called: those of the challenge, MicroLens-1M.

Every name of the challenge that the project knows is written here alone: files and columns that are read, and the files
that a run publishes.
"""

import re
from pathlib import Path

from mmctr.common.files import is_file

ITEMS = "item_feature.parquet"
ARCHIVES = ("item_images_2", "item_images")  # the first that is there; each may come in parts
CLICKS = "MicroLens_1M_x1"
SPLITS = ("train", "valid", "test")
ITEM_ID, TITLE = "item_id", "item_title"
HISTORY, LABEL, ROW_ID, USER_ID = "item_seq", "label", "ID", "user_id"
LIKES_LEVEL, VIEWS_LEVEL = LEVEL_COLUMNS = ("likes_level", "views_level")
READ_OF_CLICKS = (HISTORY, ITEM_ID, *LEVEL_COLUMNS)
KNOWN_COLUMNS = {
    "items": (ITEM_ID, TITLE),
    "train": (*READ_OF_CLICKS, LABEL),
    "valid": (*READ_OF_CLICKS, LABEL),
    "test": (ROW_ID, *READ_OF_CLICKS),
}

ITEM_EMBEDDINGS_FILE = "item_emb_task1_clip.parquet"
MODELS_FOLDER, CHECKPOINT_FILE = "models_task1and2", "task1and2_best.pt"
PREDICTIONS_FOLDER, CSV_FILE, ZIP_FILE = "predictions_task1and2", "prediction.csv", "prediction.zip"
SUBMISSION_COLUMNS = (ROW_ID, "Task1", "Task2", "Task1&2")  # of the CSV; the last is what this project predicts


def split_path(base_path: Path, name: str) -> Path:
    """Where the click log `name` is: `train`, `valid` or `test`."""
    return base_path / CLICKS / f"{name}.parquet"


def find_inputs(base_path: Path) -> tuple[dict[str, Path], list[str]]:
    """Paths of the input files by role, of the archive its first part, and a sentence for each that is missing."""
    paths = {"items": base_path / ITEMS, **{name: split_path(base_path, name) for name in SPLITS}}
    problems = [
        f"{path.relative_to(base_path)} {'must be a file and is a folder' if path.is_dir() else 'is missing'}"
        for path in paths.values()
        if not path.is_file()
    ]
    found = [find_first_part(base_path, stem) for stem in ARCHIVES]
    archive, problem = next((one for one in found if any(one)), (None, None))
    if archive is not None:
        paths["archive"] = archive
    else:
        problems.append(problem or f"{ARCHIVES[0]}.rar (or {ARCHIVES[1]}.rar, or {ARCHIVES[0]}.part1.rar) is missing")
    return paths, problems


def find_first_part(folder: Path, stem: str) -> tuple[Path | None, str | None]:
    """The archive `stem` in `folder` by its first part, or a sentence on why there is no saying which file that is.

    It is `<stem>.rar`, or `<stem>.part1.rar` with any number of zeros before the 1. There must be one of these alone.
    Neither a path nor a sentence is returned where nothing of that name is there.
    """
    numbered = re.compile(rf"{re.escape(stem)}\.part0*1\.rar")
    candidates = [folder / f"{stem}.rar", *sorted(folder.glob(f"{stem}.part*1.rar"))]
    found = [path for path in candidates if (path == candidates[0] or numbered.fullmatch(path.name)) and is_file(path)]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        return None, f"there must be one image archive {stem}, found {names}; move all but one to another folder"
    if found:
        return found[0], None
    later = re.compile(rf"{re.escape(stem)}\.(part\d+\.rar|r\d\d)")
    others = sorted(path.name for path in folder.glob(f"{stem}.*") if later.fullmatch(path.name))
    if others:
        first = f"{stem}.rar" if others[0].endswith(tuple("0123456789")) else _first_name(others[0])
        return None, f"{first} is missing, the first part of the image archive; {others[0]} is a later one"
    return None, None


def _first_name(later: str) -> str:
    """`a.part1.rar` for `a.part2.rar`, with as many digits."""
    stem, number = re.fullmatch(r"(.*\.part)(\d+)\.rar", later).groups()  # type: ignore[union-attr]
    return f"{stem}{'1'.zfill(len(number))}.rar"
