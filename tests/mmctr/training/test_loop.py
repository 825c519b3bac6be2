import errno
import io
import json
from dataclasses import asdict
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from project import GOLDEN
from short_training import SHORT, figures, run, setting

import mmctr.training.divergence
import mmctr.training.epoch
import mmctr.training.loop
from mmctr.clicks.batch import ClickSplit
from mmctr.common.errors import InputError
from mmctr.training.loop import fit
from mmctr.training.recipe import Recipe
from mmctr.training.state import save_state
from mmctr.training.step import smoothed_loss


def same_weights(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_losses_are_those_of_the_golden_file():
    recipe = Recipe(epochs=5, batch_size=64, learning_rate=3e-3, patience=5)
    expected = json.loads((GOLDEN / "training.json").read_text())
    found = figures(run(recipe))
    assert [epoch["epoch"] for epoch in found] == [epoch["epoch"] for epoch in expected]
    for name in ("train_loss", "valid_auc", "valid_logloss", "learning_rate"):
        assert [epoch[name] for epoch in found] == pytest.approx([epoch[name] for epoch in expected], rel=1e-4), name


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    first, second = run(SHORT), run(SHORT)
    assert figures(first) == figures(second)
    assert same_weights(first.best_weights, second.best_weights)
    other = run(Recipe(**{**asdict(SHORT), "seed": 1}))
    assert not same_weights(first.best_weights, other.best_weights)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("stop_after", [1, 3, 6])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(tmp_path, stop_after):
    def stop(epoch):
        if epoch.epoch == stop_after:
            raise Killed

    with pytest.raises(Killed):
        run(SHORT, state=tmp_path / "state.pt", on_epoch=stop)
    seen = []
    resumed = run(SHORT, state=tmp_path / "state.pt", on_epoch=lambda epoch: seen.append(epoch.epoch))
    whole = run(SHORT)
    assert figures(resumed) == figures(whole)
    assert same_weights(resumed.best_weights, whole.best_weights)
    assert seen == [1, 2, 3, 4, 5, 6]
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


@pytest.mark.parametrize("stop_after", [1, 3, 8, 12])
def test_a_training_that_was_stopped_within_an_epoch_goes_on_to_the_same_bits(tmp_path, monkeypatch, stop_after):
    saves = []

    def save_and_stop(path, *parts):
        save_state(path, *parts)
        saves.append(parts[-1].partial)
        if len(saves) == stop_after:
            raise Killed

    model, train, valid = setting()
    monkeypatch.setattr("mmctr.training.trainer.save_state", save_and_stop)
    with pytest.raises(Killed):
        fit(model, train, valid, recipe=SHORT, state=tmp_path / "state.pt", save_seconds=0, progress=False)
    assert (saves[-1] is None) == (stop_after % 8 == 0)
    monkeypatch.undo()
    resumed, whole = run(SHORT, state=tmp_path / "state.pt"), run(SHORT)
    assert figures(resumed) == figures(whole)
    assert same_weights(resumed.best_weights, whole.best_weights)


def flip(content, where):
    """One bit of a tensor's bytes, in the record at the share `where` of all of them; between records is padding."""
    with ZipFile(io.BytesIO(content)) as archive:
        records = [member for member in archive.infolist() if "/data/" in member.filename]
    record = records[int(len(records) * where)]
    name_and_extra = record.header_offset + 26
    lengths = int.from_bytes(content[name_and_extra : name_and_extra + 2], "little")
    lengths += int.from_bytes(content[name_and_extra + 2 : name_and_extra + 4], "little")
    at = record.header_offset + 30 + lengths + record.file_size // 2
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def without(name):
    def drop(content):
        saved = torch.load(io.BytesIO(content), weights_only=True)
        del saved[name]
        return dumped(saved)

    return drop


def of_another_model(content):
    saved = torch.load(io.BytesIO(content), weights_only=True)
    del saved["model"]["head.logit.bias"]
    return dumped(saved)


def dumped(saved):
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    return buffer.getvalue()


DAMAGES = {
    "truncated": lambda b: b[:-100],
    "empty": lambda _: b"",
    "overwritten": lambda b: b[:500] + b"x" * 500 + b[1000:],
    "one bit": lambda b: flip(b, 0.3),
    "another bit": lambda b: flip(b, 0.7),
    "a part less": without("best_weights"),
    "no schedule": without("schedule"),
    "another model": of_another_model,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_reported_and_training_begins_anew(tmp_path, damage, caplog):
    state = tmp_path / "state.pt"
    run(Recipe(**{**asdict(SHORT), "epochs": 2}), state=state)
    state.write_bytes(damage(state.read_bytes()))
    resumed = run(SHORT, state=state)
    assert "training begins anew" in caplog.text
    assert figures(resumed) == figures(run(SHORT))


def test_a_good_state_that_cannot_be_read_now_is_kept(tmp_path, monkeypatch):
    state = tmp_path / "state.pt"
    run(Recipe(**{**asdict(SHORT), "epochs": 2}), state=state)
    kept = state.read_bytes()

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(state))

    monkeypatch.setattr("mmctr.models.tensor_files.torch.load", refuse)
    with pytest.raises(PermissionError):
        run(SHORT, state=state)
    assert state.read_bytes() == kept


def test_a_planted_signal_is_learned():
    done = run(Recipe(epochs=20, batch_size=64, learning_rate=1e-2, patience=20), rows=1000, dropout=0.0)
    assert done.best.valid_auc > 0.95


def test_labels_without_signal_teach_nothing():
    done = run(Recipe(epochs=5, batch_size=64, learning_rate=1e-2, patience=5), rows=2000, planted=False, dropout=0.0)
    assert 0.45 < done.history[-1].valid_auc < 0.55


def test_the_best_epoch_is_kept_and_patience_ends_the_training():
    done = run(Recipe(epochs=50, batch_size=32, learning_rate=0.05, patience=2), planted=False)
    aucs = [epoch.valid_auc for epoch in done.history]
    assert done.best_number == int(np.argmax(aucs)) + 1
    assert len(aucs) == done.best_number + 2 < 50


def test_the_learning_rate_falls_on_a_plateau():
    recipe = Recipe(epochs=12, batch_size=32, learning_rate=0.05, patience=12, plateau_patience=0, plateau_factor=0.1)
    rates = [epoch.learning_rate for epoch in run(recipe, planted=False).history]
    aucs = [epoch.valid_auc for epoch in run(recipe, planted=False).history]
    for number in range(1, 12):
        better = number == 1 or aucs[number - 1] > max(aucs[: number - 1])
        factor = 1 if better or rates[number - 1] < 1e-7 else 0.1
        assert rates[number] == pytest.approx(rates[number - 1] * factor)


def test_smoothing_draws_labels_in():
    logits, label = torch.tensor([0.3, -2.0]), torch.tensor([1.0, 0.0])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor([0.99, 0.01]))
    assert torch.allclose(smoothed_loss(logits, label, smoothing=0.01), expected)


def test_dropout_and_order_leave_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(Recipe(epochs=1, batch_size=64))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def bfloat16_products(monkeypatch):
    """Products in bfloat16, as on CUDA, on the CPU."""

    def autocast(device, *, enabled=True):
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)

    for module in ("models.layers", "training.step", "evaluation.prediction"):
        monkeypatch.setattr(f"mmctr.{module}.autocast", autocast)


def test_a_training_with_products_in_bfloat16_stays_near_that_in_float32(bfloat16_products, monkeypatch):
    rounded = run(SHORT, dropout=0.0)
    monkeypatch.undo()
    exact = run(SHORT, dropout=0.0)
    for name in ("train_loss", "valid_logloss"):
        values = [[epoch[name] for epoch in figures(done)] for done in (rounded, exact)]
        assert values[0] == pytest.approx(values[1], rel=5e-3), name
        assert values[0] != values[1], "the products were not rounded"
    assert all(weight.dtype == torch.float32 for weight in rounded.best_weights.values() if weight.is_floating_point())


@pytest.mark.parametrize("freeze", [False, True])
def test_gradients_of_products_in_bfloat16_point_the_same_way(bfloat16_products, monkeypatch, freeze):
    model, train, _ = setting(dropout=0.0)
    model.items.content.weight.requires_grad_(not freeze)
    found = {}
    for kind in ("rounded", "exact"):
        model.zero_grad()
        with mmctr.training.step.autocast(model.device):
            loss = smoothed_loss(model(train.slice(0, 128)), train.slice(0, 128).label, smoothing=0.01)
        loss.backward()
        found[kind] = {name: w.grad.to_dense().flatten() for name, w in model.named_parameters() if w.requires_grad}
        monkeypatch.undo()
    for name, exact in found["exact"].items():
        if exact.norm() > 1e-6:
            assert torch.cosine_similarity(found["rounded"][name], exact, dim=0) > 0.99, name


DIVERGING = Recipe(epochs=4, batch_size=32, learning_rate=1e30, clip_norm=1e30)


def spoiled_after(monkeypatch, steps, *, what=lambda model: model.head.logit.bias):
    """Make a weight NaN after so many steps of the process, as a step that is too large would."""
    taken, step = [], mmctr.training.epoch.train_step

    def stepped(model, *rest, **settings):
        loss = step(model, *rest, **settings)
        taken.append(loss)
        if len(taken) == steps:
            with torch.no_grad():
                what(model).view(-1)[-1] = float("nan")
        return loss

    monkeypatch.setattr("mmctr.training.epoch.train_step", stepped)
    return taken


def test_a_training_that_diverges_says_the_epoch_and_what_to_lower_each_time(tmp_path):
    messages = []
    for _ in range(2):
        with pytest.raises(InputError, match=r"diverged in epoch 1: .*; lower `learning_rate` \(1e\+30\)") as error:
            run(DIVERGING, state=tmp_path / "state.pt")
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert not (tmp_path / "state.pt").exists()


def test_the_last_good_state_is_kept_when_a_later_epoch_diverges(tmp_path, monkeypatch):
    state = tmp_path / "state.pt"
    run(Recipe(**{**asdict(SHORT), "epochs": 2}), state=state)
    kept = state.read_bytes()
    for _ in range(2):
        spoiled_after(monkeypatch, 3)
        with pytest.raises(InputError, match=r"epoch 3: the loss of the step after 96 rows is nan; .*`epochs = 2` "):
            run(SHORT, state=state)
        assert state.read_bytes() == kept
        monkeypatch.undo()
    assert figures(run(SHORT, state=state)) == figures(run(SHORT))


def test_no_state_within_an_epoch_holds_what_is_not_finite(tmp_path, monkeypatch):
    state = tmp_path / "state.pt"
    taken = spoiled_after(monkeypatch, 3)
    model, train, valid = setting()
    with pytest.raises(InputError, match=r"epoch 1: head\.logit\.bias is not finite"):
        fit(model, train, valid, recipe=SHORT, state=state, save_seconds=0, progress=False)
    assert len(taken) == 3
    saved = torch.load(state, weights_only=True)
    assert saved["partial"]["rows"] == 64
    assert saved["model"]["head.logit.bias"].isfinite().all()


def test_a_weight_that_no_click_looks_at_is_noticed(tmp_path, monkeypatch):
    model, train, valid = setting()
    train, valid = (ClickSplit(**{**vars(split), "target": split.target.clamp(max=9)}) for split in (train, valid))
    empty = {"history": train.history[:0], "offsets": torch.zeros(257, dtype=torch.int64)}
    train, valid = (ClickSplit(**{**vars(split), **empty}) for split in (train, valid))
    spoiled_after(monkeypatch, 8, what=lambda model: model.items.content.weight[50])
    with pytest.raises(InputError, match=r"diverged in epoch 1: items\.content\.weight is not finite"):
        fit(model, train, valid, recipe=SHORT, state=tmp_path / "state.pt", progress=False)
    assert not (tmp_path / "state.pt").exists()


def test_a_training_must_start_from_finite_weights(tmp_path):
    model, train, valid = setting()
    with torch.no_grad():
        model.items.content.weight[3, 2] = float("inf")
    with pytest.raises(InputError, match=r"must start from finite weights: items\.content\.weight is not finite"):
        fit(model, train, valid, recipe=SHORT, state=tmp_path / "state.pt", progress=False)


def test_losses_are_looked_at_together_and_not_at_each_step(monkeypatch):
    looked, look = [], mmctr.training.divergence.Losses.look

    def counted(losses):
        looked.append(len(losses._latest))
        look(losses)

    monkeypatch.setattr("mmctr.training.divergence.Losses.look", counted)
    run(Recipe(epochs=1, batch_size=2))
    assert looked == [64, 64, 0]
