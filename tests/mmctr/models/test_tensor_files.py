"""Checkpoints and training states that describe what nobody should build: one refusal each, in bounded memory."""

import io
import resource
import subprocess
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from generated import checkpoint, item_table
from short_training import SHORT, figures, run

from mmctr.common.errors import InputError
from mmctr.models.checkpoint import load_checkpoint, save_checkpoint
from mmctr.training.recipe import Recipe

NAME = "head.logit.weight"


@pytest.fixture
def content(tmp_path):
    """What a checkpoint holds."""
    table = item_table(np.random.default_rng(0))
    save_checkpoint(checkpoint(table), tmp_path / "good.pt")
    return torch.load(tmp_path / "good.pt", weights_only=True)


def with_weight(content, weight):
    return {**content, "weights": {**content["weights"], NAME: weight}}


def quantized():
    return torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8)


def nested():
    return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])


def shared(content):
    one = torch.zeros(8)
    return {**content, "weights": {**content["weights"], "a": one[:4], "b": one[4:]}}


def deep(levels=200):
    value = {}
    for _ in range(levels):
        value = {"deeper": value}
    return value


def small_by_sharing(levels=40):
    value = [0, 0]
    for _ in range(levels):
        value = [value, value]
    return value


TENSORS = {
    "expanded": lambda: torch.zeros(1).expand(2**37),
    "expanded in one dimension": lambda: torch.zeros(1, 4).expand(10**9, 4),
    "meta": lambda: torch.zeros(4, device="meta"),
    "sparse": lambda: torch.eye(4).to_sparse(),
    "sparse rows": lambda: torch.eye(4).to_sparse_csr(),
    "quantized": quantized,
    "nested": nested,
    "complex": lambda: torch.zeros(4, dtype=torch.complex64),
    "overlapping": lambda: torch.zeros(100).as_strided((90, 10), (1, 1)),
    "a part of its memory": lambda: torch.zeros(1000)[:4],
    "turned": lambda: torch.zeros(3, 4).T,
    "a parameter": lambda: torch.nn.Parameter(torch.zeros(4)),
}
CONTENTS = {
    "shared memory": shared,
    "deep": lambda content: {**content, "metrics": deep()},
    "small by sharing": lambda content: {**content, "weights": small_by_sharing()},
    "many values": lambda content: {**content, "metrics": dict.fromkeys(range(10**6), 0)},
    "a set": lambda content: {**content, "metrics": {1, 2}},
    "a long name": lambda content: {**content, "architecture": {"x" * 10**6: 1}},
    "an ordered dict of values": lambda content: {**content, "metrics": OrderedDict(a=set())},
}
CASES = {
    **{name: lambda content, made=made: with_weight(content, made()) for name, made in TENSORS.items()},
    **CONTENTS,
}


def refused(path):
    with pytest.raises(InputError, match="cannot load the checkpoint") as error:
        load_checkpoint(path)
    message = str(error.value)
    assert "train again" in message
    assert len(message) < 1000
    assert len(message.splitlines()) == 1


@pytest.mark.filterwarnings("ignore")  # prototypes and deprecations of PyTorch's odd tensors
@pytest.mark.parametrize("change", CASES.values(), ids=CASES)
def test_what_no_checkpoint_holds_is_refused_with_one_message(content, tmp_path, change):
    torch.save(change(content), tmp_path / "c.pt")
    refused(tmp_path / "c.pt")


def records(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path, files, *, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)


def described(path, change):
    """The checkpoint at `path` with another description of the same records."""
    files = records(path)
    name = next(name for name in files if name.endswith("data.pkl"))
    files[name] = change(files[name])
    packed(path, files.items())


LIES = {
    "a shape beyond its record": lambda pickled: pickled.replace(b"K\x33K\x08\x86", b"J\xff\xff\xff\x7fK\x08\x86"),
    "more numbers than the record has": lambda pickled: pickled.replace(b"M\x98\x01", b"J\xff\xff\xff\x7f", 1),
    "a value numbered beyond their count": lambda pickled: pickled[:2] + b"Nr\xff\xff\xff\x7f0" + pickled[2:],
    "text longer than the file": lambda pickled: pickled[:2] + b"X\xff\xff\xff\x7fabc",
    "nothing": lambda pickled: b"",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_description_that_lies_is_refused(content, tmp_path, lie):
    def changed(pickled):
        assert lie(pickled) != pickled
        return lie(pickled)

    torch.save(content, tmp_path / "c.pt")
    described(tmp_path / "c.pt", changed)
    refused(tmp_path / "c.pt")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_records_that_are_packed_or_there_twice_are_refused(content, tmp_path):
    torch.save(content, tmp_path / "c.pt")
    files = list(records(tmp_path / "c.pt").items())
    packed(tmp_path / "packed.pt", [*files, ("c/data/more", bytes(50 << 20))], method=zipfile.ZIP_DEFLATED)
    refused(tmp_path / "packed.pt")
    packed(tmp_path / "twice.pt", [*files, files[0]])
    refused(tmp_path / "twice.pt")
    packed(tmp_path / "empty.pt", [])
    refused(tmp_path / "empty.pt")


CHILD = """
import resource, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from mmctr.models.checkpoint import load_checkpoint
from mmctr.common.errors import InputError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_checkpoint(Path(sys.argv[1]))
except InputError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_tensor_that_says_four_gigabytes_takes_no_memory(content, tmp_path):
    torch.save(with_weight(content, torch.zeros(1).expand(10**9)), tmp_path / "c.pt")
    project = str(load_checkpoint.__code__.co_filename).rsplit("/mmctr/", 1)[0]
    grown = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "c.pt"), project], capture_output=True, text=True, check=True
    ).stdout
    assert int(grown) < 200_000  # kB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def saved_state(tmp_path, change):
    state = tmp_path / "state.pt"
    run(Recipe(**{**vars(SHORT), "epochs": 2}), state=state)
    content = torch.load(io.BytesIO(state.read_bytes()), weights_only=True)
    change(content)
    torch.save(content, state)
    return state


def first_moment(content, value):
    content["optimizer"]["state"][0]["exp_avg"] = value


STATES = {
    "an expanded moment": lambda content: first_moment(content, torch.zeros(1).expand(2**37)),
    "a moment on meta": lambda content: first_moment(content, torch.zeros(51, 8, device="meta")),
    "a sparse moment": lambda content: first_moment(content, torch.eye(8).to_sparse()),
    "a moment of another shape": lambda content: first_moment(content, torch.zeros(3)),
    "a moment that is text": lambda content: first_moment(content, "x"),
    "a moment that is not finite": lambda content: first_moment(content, torch.full((51, 8), float("inf"))),
    "a weight that is not finite": lambda content: content["model"]["head.logit.bias"].fill_(float("nan")),
    "a best weight that is not finite": lambda content: content["best_weights"]["head.logit.bias"].fill_(float("nan")),
    "a best weight less": lambda content: content["best_weights"].pop("head.logit.bias"),
    "a best epoch that was not": lambda content: content.update(best_number=7),
    "an epoch's figure that is text": lambda content: content["history"][0].update(valid_auc="x"),
    "an epoch's figure that is not finite": lambda content: content["history"][1].update(train_loss=float("nan")),
    "an epoch missing": lambda content: content["history"].pop(0),
    "another learning rate's kind": lambda content: content["optimizer"]["param_groups"][0].update(lr="fast"),
    "a schedule of text": lambda content: content["schedule"].update(best="x"),
    "a partial epoch of text": lambda content: content.update(partial={"rows": "x", "loss_sum": 0.0, "generators": {}}),
    "a partial epoch beyond the rows": lambda content: content.update(
        partial={"rows": 257, "loss_sum": 1.0, "generators": {"cpu": torch.get_rng_state()}}
    ),
    "a generator that is none": lambda content: content.update(
        partial={"rows": 32, "loss_sum": 1.0, "generators": {"cpu": torch.zeros(3, dtype=torch.uint8)}}
    ),
    "a moment of a weight that is none": lambda content: content["optimizer"]["state"].update({99: {}}),
    "an optimizer that is a number": lambda content: content.update(optimizer=3),
    "a list of states": lambda content: content["optimizer"].update(state=[1]),
    "a partial epoch that is a list": lambda content: content.update(partial=[1]),
    "a deep value": lambda content: content.update(partial=deep()),
}


@pytest.fixture(scope="module")
def whole():
    return figures(run(SHORT))


@pytest.mark.parametrize("change", STATES.values(), ids=STATES)
def test_a_state_that_no_training_writes_is_reported_and_training_begins_anew(tmp_path, change, caplog, whole):
    assert figures(run(SHORT, state=saved_state(tmp_path, change))) == whole
    assert caplog.text.count("training begins anew") == 1
