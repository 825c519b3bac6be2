"""Which file or folder of a data folder the images are in. Parts of a RAR: tests/mmctr/images/rar/test_volumes.py."""

import os
import shutil
from pathlib import Path

import pytest
from archives import FIXTURES, A
from sources import SOURCES, make

from mmctr.common.errors import InputError
from mmctr.images.find import files_of, find_images
from mmctr.images.source import kind_of

BOTH = ("item_images_2.rar", "item_images.rar")


@pytest.mark.parametrize(
    ("there", "names", "found"),
    [
        (["item_images_2.rar"], BOTH, "item_images_2.rar"),
        (["item_images.rar"], BOTH, "item_images.rar"),
        (["item_images.rar", "item_images_2.rar"], BOTH, "item_images_2.rar"),
        (["item_images.part01.rar", "item_images.part02.rar"], BOTH, "item_images.part01.rar"),
        (["pictures.zip"], ["pictures.zip"], "pictures.zip"),
        (["pictures.zip", "pictures.tar"], ["pictures", "pictures.tar", "pictures.zip"], "pictures.tar"),
        (["pictures/1.jpg"], ["pictures"], "pictures"),
        (["pictures/1.jpg"], ["pictures/"], "pictures"),
        (["a/pictures.part1.rar"], ["a/pictures.rar"], "a/pictures.part1.rar"),
        (["PICTURES.RAR"], ["PICTURES.RAR"], "PICTURES.RAR"),
        (["[a]*.rar"], ["[a]*.rar"], "[a]*.rar"),
    ],
)
def test_the_first_name_that_is_there(there, names, found, tmp_path):
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_images(tmp_path, names) == (tmp_path / found, None)


@pytest.mark.parametrize(
    ("there", "names", "says"),
    [
        ([], BOTH, "item_images_2.rar (or item_images.rar, or item_images_2.part1.rar) is missing"),
        ([], ["pictures"], "pictures is missing"),
        ([], ["pictures", "pictures.zip"], "pictures (or pictures.zip) is missing"),
        (["a.rar", "a.part1.rar"], ["a.rar"], "there must be one image archive a, found a.rar and a.part1.rar"),
        (["a.part2.rar"], ["b.rar", "a.rar"], "a.part1.rar is missing, the first part of the image archive"),
        ([], ["\0", "x" * 5000], "is missing"),
        ([], ["no/such/folder.rar"], "no/such/folder.rar (or no/such/folder.part1.rar) is missing"),
    ],
)
def test_why_there_is_none(there, names, says, tmp_path):
    for name in there:
        (tmp_path / name).touch()
    found, problem = find_images(tmp_path, names)
    assert found is None
    assert says in problem


def test_a_data_set_without_images(tmp_path):
    assert find_images(tmp_path, []) == (None, None)


def test_a_pipe_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "images.zip")
    assert find_images(tmp_path, ["images.zip"]) == (None, "images.zip is missing")


@pytest.mark.parametrize("ending", SOURCES)
def test_kinds(ending, tmp_path):
    source = make(ending, tmp_path, {"a/1.jpg": A, "b.txt": A})
    kind = kind_of(source)
    assert kind == ending.partition(".")[0]
    assert files_of(source) == ([source / "a/1.jpg"] if ending == "folder" else [source])
    if ending != "folder":
        assert kind_of(source.rename(tmp_path / "without an ending")) == kind


def test_parts_belong_to_their_archive(tmp_path):
    parts = [Path(shutil.copy(FIXTURES / f"vol5.part0{number}.rar", tmp_path)) for number in (1, 2, 3)]
    assert files_of(parts[0]) == parts


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty"), (b"\n<html>", "a web page"), (b"7z\xbc\xaf\x27\x1c", "a 7z"), (b"\x89PNG", "89 50 4e 47")],
)
def test_no_kind_at_all(content, says, tmp_path):
    (tmp_path / "pictures").write_bytes(content)
    with pytest.raises(InputError, match="must come in a folder, a RAR, a zip or a tar") as caught:
        kind_of(tmp_path / "pictures")
    assert says in str(caught.value)
    assert "Use the path of the item images" in str(caught.value)
    with pytest.raises(InputError, match="does not exist"):
        kind_of(tmp_path / "absent")
