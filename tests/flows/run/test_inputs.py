"""What is refused before a run starts."""

import pytest

from flows.cli.main import main
from flows.run.inputs import look_before
from mmctr.common.errors import InputError
from tasks.settings.sections import PipelineConfig


def test_there_must_be_something_to_make_vectors_of(demo, capsys):
    says = "neither data.title nor data.images names any"
    with pytest.raises(InputError, match=says):
        look_before(PipelineConfig.model_validate({"base_path": demo, "data": {"title": "", "images": []}}))
    assert main(["check", str(demo), "--set", 'data.title=""', "--set", "data.images=[]"]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("user", ["", "no such\ncolumn\0", "x" * 500])
def test_a_pairwise_loss_needs_the_column_of_users(demo, tracking_uri, user):
    config = {"base_path": demo, "device": "cpu", "train": {"pairwise_weight": 0.5}, "embed": {"source": "none"}}
    look_before(PipelineConfig.model_validate(config))
    says = (
        r"^a pairwise loss \(train\.pairwise_weight = 0\.5\) compares rows of one user, and the training clicks do not "
        r"say whose a row is; name their column of users \(data\.user\), or set train\.pairwise_weight = 0$"
    )
    with pytest.raises(InputError, match=says):
        look_before(PipelineConfig.model_validate(config | {"data": {"user": user}}))
