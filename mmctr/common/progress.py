"""The one progress bar."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(
    what: str,
    *,
    unit: str,
    show: bool | None,
    total: int | None = None,
    over: Iterable[Any] | None = None,
    done: int = 0,
    delay: float = 0.0,
) -> "tqdm[Any]":
    """A bar on the standard error, to be used as a context, or as an iterable `over` whose items it counts.

    Args:
        what: is done; begins the line.
        unit: of what is counted; bytes (B) and rows come with k, M and G.
        show: True always, False never, None on a terminal only.
        total: how many there are; None where nobody knows.
        over: what is iterated over.
        done: how many an earlier process has done.
        delay: seconds before it is shown first.
    """
    return tqdm(
        over,
        desc=what,
        total=total,
        initial=done,
        unit=unit,
        unit_scale=unit in ("B", "row"),
        delay=delay,
        disable=None if show is None else not show,
    )
