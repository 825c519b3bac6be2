"""Every switch of the recipe, alone and all at once: resumed after a kill to the same bits, diverged in clear words."""

from dataclasses import replace

import pytest
import torch
from featured import open_shop, write_shop
from short_training import figures, run

import mmctr.training.epoch
import mmctr.training.l2
from mmctr.common.errors import InputError
from mmctr.training.loop import fit
from mmctr.training.recipe import Recipe
from mmctr.training.state import save_state

BASE = Recipe(epochs=3, batch_size=64, learning_rate=0.02, patience=20)  # 7 steps an epoch
SWITCHES = {
    "net_l2": 0.02,
    "embedding_l2": 0.02,
    "weight_decay": 0.0,
    "label_smoothing": 0.1,
    "pairwise_weight": 0.5,
    "ema_decay": 0.7,
    "reset_embeddings": True,
    "schedule": "cosine",
    "warmup_steps": 10,
    "validate_steps": 3,
}
RECIPES = {name: replace(BASE, **{name: value}) for name, value in SWITCHES.items()}
RECIPES["all"] = replace(BASE, **SWITCHES)
RECIPES["all, plateau"] = replace(BASE, **{**SWITCHES, "schedule": "plateau"}, plateau_patience=0)
everywhere = pytest.mark.parametrize("name", RECIPES)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder, signal="brand")
    found = open_shop(folder)
    users = torch.arange(len(found.train), dtype=torch.int32) // 4
    splits = {name: replace(getattr(found, name), user=users) for name in ("train", "valid")}
    return replace(found, **splits)


def trained(shop, recipe, **options):
    """A model with dropout, batch norm, and trained tables of each kind."""
    model = shop.model(dropout=0.2, batch_norm=True, id_width=4, id_dropout=0.1)
    return fit(model, shop.train, shop.valid, recipe=recipe, progress=False, **options)


@pytest.fixture(scope="module")
def wholes(shop):
    """Trainings that nothing interrupted, by the name of their recipe."""
    found = {}

    def whole(name):
        if name not in found:
            found[name] = trained(shop, RECIPES.get(name, BASE))
        return found[name]

    return whole


def same_weights(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Killed(BaseException):
    pass


@pytest.fixture
def killed_after(monkeypatch):
    """Kill the process right after each of some saved states, of all that are saved from now on."""

    def arm(*stops):
        saves = []

        def save_and_stop(*parts):
            save_state(*parts)
            saves.append(1)
            if len(saves) in stops:
                raise Killed

        monkeypatch.setattr("mmctr.training.trainer.save_state", save_and_stop)

    return arm


@pytest.mark.parametrize(
    ("name", "seconds"), [*((name, 0) for name in RECIPES), ("validate_steps", 1000), ("all", 1000)]
)
def test_a_training_that_is_killed_again_and_again_goes_on_to_the_same_bits(
    shop, tmp_path, wholes, killed_after, name, seconds
):
    """After some steps, where each is saved, or after some validations."""
    state, killed, resumed = tmp_path / "state.pt", 0, None
    stops = (4, 8, 9, 17) if seconds == 0 else (1, 2, 3)
    killed_after(*stops)
    while resumed is None:
        try:
            resumed = trained(shop, RECIPES[name], state=state, save_seconds=seconds)
        except Killed:
            killed += 1
    assert killed == len(stops)
    assert figures(resumed) == figures(wholes(name))
    assert resumed.best_number == wholes(name).best_number
    assert same_weights(resumed.best_weights, wholes(name).best_weights)


@everywhere
def test_every_switch_does_something(wholes, name):
    assert figures(wholes(name))[-1] != figures(wholes("none"))[-1]


@pytest.mark.parametrize("part", ["steps", "schedule", "average", "history", "best_number", "partial"])
def test_a_state_that_lacks_a_part_begins_anew(shop, tmp_path, part, caplog):
    state, recipe = tmp_path / "state.pt", replace(RECIPES["all"], epochs=1)
    trained(shop, recipe, state=state)
    saved = torch.load(state, weights_only=True)
    torch.save({key: value for key, value in saved.items() if key != part}, state)
    assert figures(trained(shop, recipe, state=state)) == saved_figures(saved)
    assert "training begins anew" in caplog.text


def test_a_state_of_a_recipe_with_an_average_is_none_of_one_without(shop, tmp_path, caplog):
    state, recipe = tmp_path / "state.pt", replace(BASE, epochs=1)
    trained(shop, replace(recipe, ema_decay=0.5), state=state)
    trained(shop, recipe, state=state)
    assert "training begins anew" in caplog.text


def saved_figures(saved):
    return [{key: value for key, value in epoch.items() if key != "rows_per_second"} for epoch in saved["history"]]


SPOILED = {
    "a step that is no number": lambda saved: saved["history"][0].update(step="3"),
    "steps that fall": lambda saved: saved["history"][1].update(step=1),
    "an epoch left out": lambda saved: saved["history"][-1].update(epoch=9),
    "no AUC": lambda saved: saved["history"][0].update(valid_auc=None),
    "a NaN": lambda saved: saved["history"][0].update(valid_gauc=float("nan")),
    "another epoch's part": lambda saved: saved["partial"].update(epoch=7),
    "more rows than there are": lambda saved: saved["partial"].update(rows=4000),
    "an average of NaN": lambda saved: saved["average"]["values"]["items.ids.weight"].fill_(float("nan")),
    "another average": lambda saved: saved["average"]["values"].pop("items.ids.weight"),
    "a rate of NaN": lambda saved: saved["schedule"].update(level=float("nan")),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_state_that_is_wrong_in_a_part_begins_anew(shop, tmp_path, killed_after, spoil, caplog):
    state = tmp_path / "state.pt"
    killed_after(2)
    with pytest.raises(Killed):
        trained(shop, RECIPES["all"], state=state, save_seconds=1000)
    saved = torch.load(state, weights_only=True)
    assert [epoch["step"] for epoch in saved["history"]] == [3, 6]
    spoil(saved)
    torch.save(saved, state)
    killed_after(1)
    with pytest.raises(Killed):
        trained(shop, RECIPES["all"], state=state, save_seconds=1000)
    assert "training begins anew" in caplog.text


@pytest.mark.parametrize("name", ["net_l2", "embedding_l2", "pairwise_weight", "ema_decay", "validate_steps", "all"])
def test_a_training_that_diverges_keeps_its_last_good_state_and_says_what_to_lower(
    shop, tmp_path, monkeypatch, wholes, killed_after, name
):
    recipe, state, step = RECIPES[name], tmp_path / "state.pt", mmctr.training.epoch.train_step
    killed_after(3 if recipe.validate_steps else 1)
    with pytest.raises(Killed):
        trained(shop, recipe, state=state)
    monkeypatch.undo()
    kept = state.read_bytes()

    def blown_up(model, *rest, **settings):
        with torch.no_grad():
            model.items.ids.weight.fill_(3e38)  # finite, and no product with it is
        return step(model, *rest, **settings)

    for _ in range(2):
        monkeypatch.setattr(mmctr.training.epoch, "train_step", blown_up)
        with pytest.raises(InputError, match=r"diverged in epoch 2: .*; lower `learning_rate` \(0\.02\)") as error:
            trained(shop, recipe, state=state)
        monkeypatch.undo()
        assert "`epochs = 1`" in str(error.value)
        for switch in ("net_l2", "embedding_l2", "pairwise_weight"):
            assert (f"`{switch}` (" in str(error.value)) == (getattr(recipe, switch) > 0)
        assert state.read_bytes() == kept
    assert figures(trained(shop, recipe, state=state)) == figures(wholes(name))


def test_weights_whose_squares_are_not_finite_have_diverged(shop, monkeypatch):
    monkeypatch.setattr(mmctr.training.l2.L2, "loss", lambda _: torch.tensor(float("inf")))
    with pytest.raises(InputError, match=r"epoch 1: the L2 terms of the loss are inf; .*`net_l2` \(0\.02\)"):
        trained(shop, RECIPES["net_l2"])


def test_a_best_model_that_is_no_better_than_the_base_rate_is_warned_of(caplog):
    done = run(replace(BASE, learning_rate=0.1, batch_size=16), planted=False)
    assert done.best.valid_normalised_entropy > 1
    assert "gives probabilities that are worse than the base rate alone" in caplog.text
    assert f"(epoch {done.best.epoch}, validation AUC {done.best.valid_auc:.4f})" in caplog.text
    assert "`net_l2`" in caplog.text
    caplog.clear()
    done = run(replace(BASE, epochs=12))
    assert done.best.valid_normalised_entropy < 1
    assert "base rate" not in caplog.text
