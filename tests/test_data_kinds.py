"""docs/data.md: the lines of each kind of user, as they stand there, in the real flow on small data of that kind."""

import re
from dataclasses import dataclass

import polars as pl
import pytest
from kinds import ITEMS, KINDS, small_world
from project import PROJECT

from flows.cli.main import main
from flows.pipeline import pipeline
from tasks.settings.load import load_config

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_server")]

SECTIONS = {
    "challenge": "The challenge",
    "given_vectors": "The challenge, with the vectors it comes with",
    "shop": "A shop: ids are texts, photos in a folder",
    "parts": "Click logs in part files",
    "csv": "CSV",
    "no_images": "No images",
    "no_titles": "No titles",
    "raw_logs": "Raw logs",
}
SMALL = [  # what has nothing to do with the kind of data
    *(
        "train.epochs=1",
        "train.batch_size=64",
        "train.max_len=8",
        'model.sequence=[{kind="target_attention", hidden=[4]}]',
        'model.head={kind="mlp", hidden=[4]}',
    ),
    *("reduce.n_components=16", "embed.workers=0"),
]
ENCODING = ["extract", "embed", "reduce", "build_weights", "train", "predict"]
STAGES = {
    "given_vectors": ["embed", "reduce", "build_weights", "train", "predict"],
    "no_images": ["embed", "reduce", "build_weights", "train", "predict"],
    "raw_logs": ["embed", "reduce", "build_weights", "train", "predict"],
}


@dataclass(frozen=True)
class Section:
    """A section of the page: its TOML and its commands."""

    toml: str
    commands: list[str]


def page():
    """The sections of docs/data.md by their title."""
    _, *parts = re.split(r"^## (.+)$", (PROJECT / "docs/data.md").read_text(), flags=re.MULTILINE)
    blocks = r"^```{}\n(.*?)^```$"

    def section(text):
        toml, commands = (re.findall(blocks.format(kind), text, re.MULTILINE | re.DOTALL) for kind in ("toml", "sh"))
        return Section("".join(toml), "".join(commands).splitlines())

    return {title: section(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.fixture(scope="module")
def world(demo_original):
    return small_world(demo_original)


def test_the_page_has_each_kind_and_no_other():
    assert list(page()) == list(SECTIONS.values())
    assert list(SECTIONS) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_lines_of_the_page_make_it_work(kind, world, tracking_uri, tmp_path, monkeypatch, capsys):
    base, section = tmp_path / "data", page()[SECTIONS[kind]]
    base.mkdir()
    KINDS[kind](world, base)
    monkeypatch.chdir(base)
    for command in section.commands:
        name, *arguments = command.split()
        assert (name, main(arguments)) == ("mmctr", 0), capsys.readouterr().err
        base = base / "BASE_PATH"
    if section.toml:
        (base / "mmctr.toml").write_text(section.toml)
    settings = [*SMALL, f"embed.model={world.clip}"]
    sets = [word for setting in settings for word in ("--set", setting)]
    assert main(["check", str(base), *sets]) == 0, capsys.readouterr().err

    config = load_config(base, overrides=settings, device="cpu")
    summary = pipeline(config)
    assert [report.name for report in summary.stages] == STAGES.get(kind, ENCODING)
    assert 0 <= summary.valid_auc <= 1
    layout = config.data.layout
    vectors = pl.read_parquet(base / layout.item_embeddings)
    assert len(vectors) == ITEMS
    assert vectors["item_emb_d16"].list.eval(pl.element() != 0).list.any().mean() > 0.9, "items have vectors"
    assert main(["check-submission", str(base / layout.archive), "--base-path", str(base)]) == 0
    assert f"is a valid submission of {summary.rows:,} rows" in capsys.readouterr().out
    again = pipeline(config)
    assert [report.name for report in again.stages if not report.cached] == []

    log = "test.csv" if kind == "csv" else next(path for path in (layout.test, layout.train) if "*" not in path)
    assert main(["score", str(base), log if base == tmp_path / "data" else f"BASE_PATH/{log}", *sets]) == 0
    item = vectors["item_id"][0]
    capsys.readouterr()
    assert main(["similar", str(base), str(item), "-k", "3", *sets]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{item} ")
    assert [line for line in lines if "(no title)" in line] or kind != "no_titles"
