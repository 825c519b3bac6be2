"""The readers that are fuzzed: for each how a case is made, and what must hold when it raises nothing.

A case returns the kind of its answer, "read" or "refused", and raises anything else.
"""

import io
import os
import time
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import fuzz_media
import fuzz_packed
import fuzz_tables
from fuzz_bytes import members, mutate, zipped
from fuzz_verdicts import Reader, refused

# configuration ---------------------------------------------------------------------------------------------------

TOML = b"""device = 'cpu'
experiment = "mmctr"
[extract]
password_env = "SECRET"
max_member_mib = 64
[embed]
model = 'clip_tiny.pt'
max_failure_share = 0.2
workers = 2
[train]
epochs = 3
learning_rate = 1e-3
[model]
item = {content = "frozen"}
head = {kind = "mlp", hidden = [256, 128]}
[predict]
batch_size = 8192
"""
VALUES = (
    "0", "0x" + "f" * 6000, "-1", "1e400", "nan", "inf", "true", "'x'", "[]", "{}", "[1, 2]", "[[" * 5000, "9" * 5000,
    "1979-05-27T07:32:00Z", '"\\u0000"', '"' + "x" * 5000 + '"', "'''\n'''", "{a.b = 1}", "", "\ud800", "\x00", "../x",
)  # fmt: skip
NAMES = ("device", "base_path", "train", "train.epochs", "model.head", "embed.model", "experiment", "a.b.c",
         "extract.password_env", "", ".", "train.", '"quoted"', "build_weights", "reduce.n_components")  # fmt: skip


def prepare_config(_: Path) -> None:
    import tasks.settings.sections  # noqa: F401


def config_case(_: None, rng: Random, folder: Path) -> str:
    from tasks.settings.load import load_config
    from tasks.settings.sections import PipelineConfig

    content = TOML
    if rng.random() < 0.5:
        donors = [value.encode("utf-8", "surrogatepass") for value in VALUES] + [TOML]
        content = mutate(rng, TOML, donors=donors)
    if rng.random() < 0.5:
        line = f"{rng.choice(NAMES)} = {rng.choice(VALUES)}\n".encode("utf-8", "surrogatepass")
        content = line + content if rng.random() < 0.5 else content + line
    (folder / "mmctr.toml").write_bytes(content)
    overrides = [f"{rng.choice(NAMES)}={rng.choice(VALUES)}" for _ in range(rng.choice((0, 0, 1, 2)))]
    found: list[PipelineConfig] = []
    answer = refused(lambda: found.append(load_config(folder, overrides=overrides, device=rng.choice((None, "cpu")))))
    for config in found:
        assert config.base_path == folder
        assert PipelineConfig.model_validate_json(config.model_dump_json()) == config
    return answer


# submission ------------------------------------------------------------------------------------------------------

CELLS = b'|nan|inf|1e-9|-0|0.5 |"0.5"|0x1|1e400|+1|\xff|\x00|1,2|a\nb'.split(b"|")


def prepare_submission(folder: Path) -> tuple[Any, bytes]:
    import numpy as np
    import polars as pl

    from mmctr.submission.challenge import write_prediction
    from mmctr.submission.packed import zip_prediction

    ids = pl.Series("ID", range(20))
    write_prediction(ids, np.linspace(0, 1, 20, dtype=np.float32), folder / "prediction.csv")
    zip_prediction(folder / "prediction.csv", folder / "prediction.zip")
    return ids, (folder / "prediction.zip").read_bytes()


def submission_case(state: tuple[Any, bytes], rng: Random, folder: Path) -> str:
    from mmctr.submission.challenge import check_submission

    ids, content = state
    kind = rng.random()
    if kind < 0.4:
        content = mutate(rng, content, donors=[content])
    else:
        csv = members(content)["prediction.csv"]
        if kind < 0.7:
            csv = mutate(rng, csv, donors=[csv, *CELLS])
        else:
            rows = [line.split(b",") for line in csv.split(b"\n")]
            row = rng.choice(rows)
            row[rng.randrange(len(row))] = rng.choice(CELLS)
            csv = b"\n".join(b",".join(row) for row in rows)
        content = zipped({"prediction.csv": csv}, method=rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2)))
    (folder / "s.zip").write_bytes(content)
    rows_found: list[int] = []
    answer = refused(lambda: rows_found.append(check_submission(folder / "s.zip", test_ids=ids)))
    assert rows_found in ([], [20])
    return answer


# checkpoint ------------------------------------------------------------------------------------------------------


def prepare_checkpoint(folder: Path) -> dict[str, Any]:
    import numpy as np
    import torch

    from mmctr.inputs.vocabulary import Vocabulary
    from mmctr.models.architecture import Architecture, Part
    from mmctr.models.base import ClickModel
    from mmctr.models.checkpoint import Checkpoint, save_checkpoint

    options = {"hidden": (3,), "activation": "dice", "batch_norm": False, "dropout": 0.0}
    sizes = Architecture(num_items=5, dim=4, head=Part("mlp", options))
    checkpoint = Checkpoint(sizes, ClickModel(sizes).state_dict(), 64, Vocabulary(np.arange(1, 6)), {"valid_auc": 0.5})
    save_checkpoint(checkpoint, folder / "good.pt")
    content = (folder / "good.pt").read_bytes()
    return {"content": content, "parts": torch.load(folder / "good.pt", weights_only=True)}


def checkpoint_case(state: dict[str, Any], rng: Random, folder: Path) -> str:
    import torch

    from mmctr.models.checkpoint import load_checkpoint, restore_model

    content, kind = state["content"], rng.random()
    if kind < 0.3:
        content = mutate(rng, content, donors=[content])
    elif kind < 0.6:
        parts = members(content)
        name = rng.choice([name for name in parts if parts[name]] + [n for n in parts if n.endswith("data.pkl")] * 8)
        content = zipped({**parts, name: mutate(rng, parts[name], donors=list(parts.values()))})
    else:
        buffer = io.BytesIO()
        torch.save(_altered(state["parts"], rng), buffer)
        content = buffer.getvalue()
    (folder / "c.pt").write_bytes(content)
    return refused(lambda: restore_model(load_checkpoint(folder / "c.pt")))


def _altered(parts: dict[str, Any], rng: Random) -> dict[str, Any]:
    """The content of a checkpoint with one or two values of a wrong kind or size."""
    import torch

    odd = [
        None, -1, 0, 1, 10**12, 2**70, 1.5, float("nan"), "x", "", [], [0], [-3], [3, "x"], [10**9], {}, {"a": 1}, True,
        torch.zeros(2), torch.zeros(0), torch.zeros(3, dtype=torch.complex64), (3,), b"x",
        torch.full((6, 4), float("nan")),
    ]  # fmt: skip
    copy = {name: dict(value) if isinstance(value, dict) else value for name, value in parts.items()}
    for _ in range(rng.choice((1, 1, 2))):
        inner = [value for value in copy.values() if isinstance(value, dict) and value]
        where = rng.choice([copy, *inner])
        key = rng.choice([*where, "another", 3])
        if rng.random() < 0.2:
            where.pop(key, None)
        else:
            where[key] = rng.choice(odd)
    return copy


# the driver itself -----------------------------------------------------------------------------------------------


def selftest_case(_: None, rng: Random, __: Path) -> str:
    """Answers, ends its process, or hangs: what the driver must outlive."""
    match rng.randrange(3):
        case 1:
            os.abort()
        case 2:
            time.sleep(3600)
    return "read"


READERS = {
    "archive": Reader(fuzz_media.prepare_archive, fuzz_media.archive_case),
    "packed": Reader(fuzz_packed.prepare_packed, fuzz_packed.packed_case),
    "image": Reader(fuzz_media.prepare_image, fuzz_media.image_case),
    "parquet": Reader(fuzz_tables.prepare, fuzz_tables.case),
    "config": Reader(prepare_config, config_case),
    "submission": Reader(prepare_submission, submission_case),
    "checkpoint": Reader(prepare_checkpoint, checkpoint_case),
    "selftest": Reader(lambda _: None, selftest_case),
}
