"""The one progress bar."""

import pytest
from project import PROJECT

from mmctr.common.progress import progress_bar


@pytest.mark.parametrize(("show", "seen"), [(True, True), (False, False), (None, False)])
def test_a_bar_is_shown_when_asked_for_or_on_a_terminal(show, seen, capsys):
    with progress_bar("rows", total=4000, unit="row", show=show, done=1000) as bar:
        bar.update(3000)
    shown = capsys.readouterr().err
    assert ("rows: 100%" in shown) is seen
    assert ("4.00k/4.00k" in shown) is seen


def test_what_is_iterated_over_is_counted(capsys):
    assert list(progress_bar("covers", over=range(3), unit="image", show=True)) == [0, 1, 2]
    assert "3/3" in capsys.readouterr().err


def test_nothing_else_draws_bars():
    files = [path for room in ("mmctr", "tasks", "flows") for path in (PROJECT / room).rglob("*.py")]
    drawing = [path.relative_to(PROJECT) for path in files if "import tqdm" in path.read_text()]
    assert [str(path) for path in drawing] == ["mmctr/common/progress.py"]
