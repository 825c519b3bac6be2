"""An image archive in parts: every part belongs to the input, under each of the names that parts have."""

import os
import shutil
from pathlib import Path

import project
import pytest
from fuzz_bytes import RAR4, mended

from flows.run.inputs import look_at_images, look_before, name_inputs
from mmctr.common.errors import InputError
from mmctr.common.files import file_sha256
from mmctr.images.extract import extract_images
from mmctr.images.find import find_images
from mmctr.images.rar.volumes import archive_parts
from mmctr.inputs.layout import MICROLENS_1M
from mmctr.report.dataset import report_dataset
from tasks.cache.stage import stage_key
from tasks.cache.workspace import Workspace
from tasks.extract import extract
from tasks.settings.archive import ImageSource
from tasks.settings.sections import PipelineConfig

FIXTURES = project.FIXTURES / "rar"
RAR2_VOLUME = mended(RAR4 + bytes.fromhex("00007301000d00000000000000"))  # no flag for new names
NAMES = {
    "as downloaded": [f"item_images_2.part{number}.rar" for number in (1, 2, 3)],
    "two digits": [f"item_images_2.part0{number}.rar" for number in (1, 2, 3)],
    "three digits": [f"item_images_2.part00{number}.rar" for number in (1, 2, 3)],
    "the other stem": [f"item_images.part{number}.rar" for number in (1, 2, 3)],
    "a number at the end": ["item_images_2.rar", "item_images_3.rar", "item_images_4.rar"],
}


def put_parts(base: Path, names: list[str]) -> list[Path]:
    (base / "item_images_2.rar").unlink(missing_ok=True)
    for number, name in enumerate(names, 1):
        shutil.copy(FIXTURES / f"vol5.part0{number}.rar", base / name)
    return [base / name for name in names]


def config_of(base: Path) -> PipelineConfig:
    return PipelineConfig(base_path=base, embed={"model": str(base / "tiny_clip.pt")})


def archive_ref(base: Path):
    return name_inputs(config_of(base), Workspace(base)).images


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_every_part_is_found_and_unpacked(demo, tmp_path, names):
    parts = put_parts(demo, names)
    assert find_images(demo, MICROLENS_1M.images) == (parts[0], None)
    assert archive_parts(parts[0]) == parts
    assert report_dataset(demo).files["images"].bytes == sum(part.stat().st_size for part in parts)
    assert extract_images(parts[0], tmp_path / "images", progress=False).images == 30


def test_old_names(tmp_path):
    names = ["item_images.rar", *(f"item_images.r{number:02}" for number in (*range(100),)), "item_images.s00"]
    for name in names:
        (tmp_path / name).write_bytes(RAR2_VOLUME)
    assert [part.name for part in archive_parts(tmp_path / names[0])] == names


def test_an_archive_in_one_file_has_no_other_part(tmp_path):
    for name, source in (("a_1.rar", "rar5_store"), ("a_2.rar", "rar5_store"), ("b_1.rar", "rar4_store")):
        shutil.copy(FIXTURES / f"{source}.rar", tmp_path / name)
    (tmp_path / "b_2.rar").touch()
    (tmp_path / "c_1.rar").write_bytes(b"no archive")
    for name in ("a_1.rar", "b_1.rar", "c_1.rar"):
        assert archive_parts(tmp_path / name) == [tmp_path / name]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_damaged_part_is_another_input(demo, part):
    parts = put_parts(demo, NAMES["as downloaded"])
    before = archive_ref(demo)
    flip_a_bit(parts[part])
    after = archive_ref(demo)
    assert before.sha256 != after.sha256
    inputs = {"config": config_of(demo).extract, "source": ImageSource()}
    keys = {stage_key(extract, {**inputs, "images": ref}) for ref in (before, after)}
    assert len(keys) == 2
    assert not Workspace(demo).holds(before)
    assert Workspace(demo).holds(after)


def test_a_part_that_is_gone_is_another_input(demo):
    parts = put_parts(demo, NAMES["a number at the end"])
    before = archive_ref(demo)
    parts[2].unlink()
    assert archive_ref(demo).sha256 != before.sha256
    assert not Workspace(demo).holds(before)


def test_an_archive_in_one_file_is_named_by_its_bytes(demo):
    assert archive_ref(demo).sha256 == file_sha256(demo / "item_images_2.rar")


def test_a_part_that_changes_during_the_stage_is_seen(demo, monkeypatch):
    parts = put_parts(demo, NAMES["as downloaded"])
    ref = archive_ref(demo)

    def read(change):
        with Workspace(demo).reading(ref) as first:
            assert first == parts[0]
            change(parts[2])

    read(lambda _: None)
    with pytest.raises(InputError, match="changed meanwhile"):
        read(flip_a_bit)
    with pytest.raises(InputError, match="changed meanwhile"):  # and before it is read
        read(lambda _: pytest.fail("it was given to a reader"))


@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_part_is_said_before_any_work(demo, missing):
    parts = put_parts(demo, NAMES["as downloaded"])
    parts[missing].unlink()
    look_before(config_of(demo))
    told = []
    says = rf"All parts .* one folder: {parts[missing].name} is missing beside"
    for look in (lambda: report_dataset(demo), lambda: look_at_images(config_of(demo))):
        with pytest.raises(InputError, match=says) as error:
            look()
        told.append(str(error.value))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["item_images_2.rar", "item_images_2.part1.rar"], "found item_images_2.rar and item_images_2.part1.rar; move"),
        (
            ["item_images_2.part1.rar", "item_images_2.part01.rar"],
            "part01.rar and item_images_2.part1.rar",
        ),
        (["item_images_2.part02.rar"], "item_images_2.part01.rar is missing, the first part of the image archive"),
        (["item_images.part2.rar"], "item_images.part1.rar is missing, the first part"),
        (["item_images_2.r00"], "item_images_2.rar is missing, the first part"),
        (["item_images_2.part11.rar"], "item_images_2.part01.rar is missing, the first part"),
        ([], "item_images_2.rar (or item_images.rar, or item_images_2.part1.rar) is missing"),
    ],
)
def test_which_file_is_the_archive(demo, names, says):
    (demo / "item_images_2.rar").unlink()
    for name in names:
        shutil.copy(FIXTURES / "rar5_store.rar", demo / name)
    for look in (report_dataset, lambda base: look_before(config_of(base))):
        with pytest.raises(InputError) as error:
            look(demo)
        assert says in str(error.value)


def test_the_first_name_goes_before_the_second(demo):
    put_parts(demo, NAMES["the other stem"])
    shutil.copy(FIXTURES / "rar5_store.rar", demo / "item_images_2.rar")
    assert find_images(demo, MICROLENS_1M.images) == (demo / "item_images_2.rar", None)


def test_parts_without_a_number(tmp_path):
    shutil.copy(FIXTURES / "vol5.part01.rar", tmp_path / "images.rar")
    with pytest.raises(InputError, match="must have a number in its name"):
        extract_images(tmp_path / "images.rar", tmp_path / "out", progress=False)


def test_retrain_looks_at_the_later_parts(demo, tracking_uri):
    from flows.retrain import retrain

    parts = put_parts(demo, NAMES["as downloaded"])
    for path in demo.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    later = parts[2].stat().st_ctime + 50
    os.utime(parts[2], (later, later))
    state = retrain.fn(config_of(demo), settle_seconds=600.0)
    assert parts[2].name in state.message
