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
