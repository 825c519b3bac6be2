"""Data sets of eight kinds of user, made of the demo's small world: a few items, other names, other files."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from tiny_clip import picture

ITEMS = 60
ROWS = {"train": 600, "valid": 200, "test": 100}


@dataclass(frozen=True)
class SmallWorld:
    """The first items of the demo and the clicks on them.

    Attributes:
        items: item_id, item_title, item_tags, likes_level, views_level, txt_emb_BERT, img_emb_CLIPRN50.
        train, valid, test: user_id, item_seq without padding, item_id, likes_level, views_level, label; test has ID.
        clip: a checkpoint that fits.
    """

    items: pl.DataFrame
    train: pl.DataFrame
    valid: pl.DataFrame
    test: pl.DataFrame
    clip: Path

    @property
    def splits(self) -> dict[str, pl.DataFrame]:
        """The click logs by name; test without labels."""
        return {"train": self.train, "valid": self.valid, "test": self.test.drop("label")}


def small_world(demo: Path) -> SmallWorld:
    """The beginning of a demo data set."""
    items = pl.read_parquet(demo / "item_feature.parquet").head(ITEMS)
    truth = pl.read_parquet(demo / "demo_truth.parquet")["label"]
    splits = {name: pl.read_parquet(demo / f"MicroLens_1M_x1/{name}.parquet") for name in ROWS}
    splits["test"] = splits["test"].with_columns(truth.alias("label"))
    known = pl.col("item_seq").arr.to_list().list.eval(pl.element().filter(pl.element().is_between(1, ITEMS)))
    small = {
        name: frame.filter(pl.col("item_id") <= ITEMS).with_columns(known).head(ROWS[name])
        for name, frame in splits.items()
    }
    return SmallWorld(items, **small, clip=demo / "tiny_clip.pt")


def challenge(world: SmallWorld, base: Path) -> None:
    """The challenge's own files and names."""
    _challenge_tables(world, base)
    _rar(base / "item_images_2.rar")


def given_vectors(world: SmallWorld, base: Path) -> None:
    """The challenge's tables, and no archive: the vectors in the item table take its place."""
    _challenge_tables(world, base)


def shop(world: SmallWorld, base: Path) -> None:
    """Text ids, a folder of webp, features of rows and of items."""
    sku = pl.format("sku-{}", pl.col("item_id").cast(pl.String).str.zfill(5))
    brand = pl.format("brand {}", pl.col("likes_level"))
    items = world.items.select(
        sku.alias("sku"),
        pl.col("item_title").alias("name"),
        brand.alias("brand"),
        pl.col("item_tags").list.eval(pl.format("colour {}", pl.element())).alias("colours"),
        (pl.col("views_level") * 9.9).alias("price"),
    )
    items.write_parquet(base / "catalog.parquet")
    for name, frame in world.splits.items():
        request = [pl.format("r{}", pl.col("ID")).alias("request")] if name == "test" else []
        bought = [] if name == "test" else [pl.col("label").cast(pl.Boolean).alias("bought")]
        clicks = frame.select(
            *request,
            pl.format("c{}", pl.col("user_id")).alias("customer"),
            pl.col("item_seq")
            .list.eval(pl.format("sku-{}", pl.element().cast(pl.String).str.zfill(5)))
            .alias("viewed"),
            sku.alias("sku"),
            pl.when(pl.col("user_id") % 3 == 0).then(pl.lit("phone")).otherwise(pl.lit("desk")).alias("device"),
            (pl.col("views_level") / 3).alias("basket"),
            *bought,
        )
        _parquet(clicks, base / f"clicks/{name}.parquet")
    (base / "photos").mkdir()
    for row, sku_id in enumerate(items["sku"]):
        picture(row).save(base / f"photos/{sku_id}.webp")


def parts(world: SmallWorld, base: Path) -> None:
    """Tables as Spark writes them, in folders of part files; no valid; a zip of images."""
    names = {"user_id": "user_id", "item_seq": "history", "item_id": "item_id", "label": "clicked"}
    for name, frame in {"train": pl.concat([world.train, world.valid]), "test": world.splits["test"]}.items():
        columns = {old: new for old, new in names.items() if old in frame.columns}
        _spark(frame.select(list(columns)).rename(columns), base / f"clicks/{name}")
    _spark(world.items.select("item_id", "item_title"), base / "items")
    _archive(base / "images.zip")


def csv(world: SmallWorld, base: Path) -> None:
    """CSV files alone, histories with | between their ids; images in a tar.gz, named by a column."""
    file = pl.format("cover_{}.jpg", pl.col("item_id"))
    world.items.select("item_id", pl.col("item_title").alias("title"), file.alias("cover")).write_csv(
        base / "items.csv"
    )
    for name, frame in world.splits.items():
        row_id = [pl.col("ID").alias("row")] if name == "test" else []
        label = [] if name == "test" else ["label"]
        history = pl.col("item_seq").cast(pl.List(pl.String)).list.join("|").alias("history")
        level = pl.col("likes_level").alias("hour")
        frame.select(*row_id, "user_id", history, "item_id", level, *label).write_csv(base / f"{name}.csv")
    with tarfile.open(base / "covers.tar.gz", "w:gz") as archive:
        for row, content in enumerate(_jpegs()):
            member = tarfile.TarInfo(f"covers/cover_{row + 1}.jpg")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def no_images(world: SmallWorld, base: Path) -> None:
    """The challenge's tables, with titles alone."""
    _challenge_tables(world, base, items=world.items.select("item_id", "item_title"))


def no_titles(world: SmallWorld, base: Path) -> None:
    """The challenge's files, the item table without titles."""
    _challenge_tables(world, base, items=world.items.select("item_id", "likes_level"))
    _rar(base / "item_images_2.rar")


def raw_logs(world: SmallWorld, base: Path) -> None:
    """Events alone, one a row, and an item table: what `mmctr prepare` reads."""
    histories = world.train.unique("user_id", maintain_order=True).select("user_id", "item_seq").explode("item_seq")
    events = histories.drop_nulls().with_row_index("timestamp").select("user_id", "item_seq", "timestamp")
    events = events.rename({"item_seq": "item_id"}).with_columns(
        pl.col("timestamp").cast(pl.Int64) * 60 + 1_700_000_000
    )
    _spark(events, base / "events")
    world.items.select("item_id", pl.col("item_title").alias("title")).write_parquet(base / "items.parquet")


KINDS: dict[str, Callable[[SmallWorld, Path], None]] = {
    "challenge": challenge,
    "given_vectors": given_vectors,
    "shop": shop,
    "parts": parts,
    "csv": csv,
    "no_images": no_images,
    "no_titles": no_titles,
    "raw_logs": raw_logs,
}


def _challenge_tables(world: SmallWorld, base: Path, *, items: pl.DataFrame | None = None) -> None:
    _parquet(world.items if items is None else items, base / "item_feature.parquet")
    for name, frame in world.splits.items():
        _parquet(frame, base / f"MicroLens_1M_x1/{name}.parquet")


def _parquet(frame: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    frame.write_parquet(path)


def _spark(frame: pl.DataFrame, folder: Path) -> None:
    """Two part files, and what Spark writes beside them."""
    folder.mkdir(parents=True)
    half = len(frame) // 2
    for number, part in enumerate((frame[:half], frame[half:])):
        part.write_parquet(folder / f"part-0000{number}-6a3c1f2e-8b1d-4c55-9d1f-0a2b3c4d5e6f-c000.snappy.parquet")
    (folder / "_SUCCESS").touch()


def _jpegs() -> list[bytes]:
    contents = []
    for row in range(ITEMS):
        content = io.BytesIO()
        picture(row).save(content, "jpeg")
        contents.append(content.getvalue())
    return contents


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for row, content in enumerate(_jpegs()):
            archive.writestr(f"images/{row + 1}.jpg", content)


def _rar(path: Path) -> None:
    import rars

    archive = rars.RarBuilder(store=True)
    for row, content in enumerate(_jpegs()):
        archive.add_bytes(content, f"item_images/{row + 1}.jpg", mtime=0)
    archive.write(str(path))
