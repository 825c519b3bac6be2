"""Which places a command with an option `--out` must leave alone."""

from collections.abc import Iterable
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.inputs.layout import Layout


def check_place(place: Path, *, base_path: Path, layout: Layout, command: str, besides: Iterable[Path] = ()) -> None:
    """Refuse a place for a command's output that a run reads or writes, one of the files `besides`, and a folder.

    Raises:
        InputError: it is such a place.
    """
    base, real = base_path.resolve(), place.resolve()
    public = {base / name for name in (layout.item_embeddings, layout.checkpoint, layout.prediction, layout.archive)}
    tables = (layout.items, layout.train, layout.valid, layout.test, *layout.images, ".mmctr")
    inputs = {(base / name).resolve() for name in tables if name}
    taken = public | inputs | {one.resolve() for one in besides}
    if real in taken or any(one in real.parents or real.match(str(one)) for one in inputs):
        raise InputError(
            f"{command} never writes over what a run reads or writes; {place} is such a place; name another with --out"
        )
    if place.is_dir():
        raise InputError(f"OUT must be a file; {place} is a folder; name a file in it with --out")
