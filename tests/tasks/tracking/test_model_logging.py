"""The logged click model is whole: it loads where the project is not, and carries no more than it needs."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
from featured import open_shop, write_shop
from generated import checkpoint as untrained
from generated import item_table
from project import PROJECT

from mmctr.common.errors import InputError
from mmctr.evaluation.prediction import predict_probabilities
from mmctr.models.checkpoint import restore_model, save_checkpoint
from mmctr.training.recipe import Recipe
from tasks.cache.counted_syntax import parsed
from tasks.tracking.model_logging import SCORER_PACKAGES, _scored_columns, log_din_model
from tasks.tracking.store import Tracker
from tasks.tracking.training_run import CHECKPOINT, open_run

# MLflow finds the modules beside the model; those of the project are out of its way, as on another machine.
SCORE = """
import json, sys
from pathlib import Path
sys.path[:] = [entry for entry in sys.path if not Path(entry, "mmctr").is_dir()]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pandas.DataFrame(json.loads(sys.argv[2]))
scores = [float(score) for score in model.predict(rows)]
files = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] in ("mmctr", "mmctr_scorer")]
print(json.dumps({"scores": scores, "files": files}))
"""


@pytest.fixture
def logged(tracking_uri, tmp_path) -> Path:
    """Folder of a logged model of an untrained network."""
    tracker = Tracker(tracking_uri, "mmctr")
    run_id = open_run(tracker, "training")
    table = item_table(np.random.default_rng(0))
    checkpoint = tmp_path / Path(CHECKPOINT).name
    save_checkpoint(untrained(table, valid_auc=0.5), checkpoint)
    log_din_model(tracking_uri, run_id, checkpoint=checkpoint)
    (model,) = (Path(tracking_uri.removeprefix("sqlite:///")).parent / "artifacts").glob("*/models/*/artifacts")
    return model


def test_it_scores_without_the_project_by_the_modules_it_carries_and_no_others(logged, tmp_path):
    carried = {str(path.relative_to(logged / "code")) for path in (logged / "code").rglob("*.py")}
    rooms = {Path(path).parts[1] for path in carried if len(Path(path).parts) > 2}
    assert rooms == {"clicks", "common", "compute", "evaluation", "inputs", "models"}
    assert len(carried) < 60
    rows = {"item_seq": [[1, 4], []], "item_id": [7, 10], "likes_level": [1, 10], "views_level": [2, 3]}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCORE, str(logged), json.dumps(rows)],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert all(0 < score < 1 for score in found["scores"])
    loaded = {str(Path(file).relative_to(logged / "code")) for file in found["files"]}
    assert loaded <= carried


def test_who_has_loaded_it_imports_the_library_as_before(logged):
    program = (
        "import sys, mlflow\nmlflow.pyfunc.load_model(sys.argv[1])\n"
        "import mmctr.embedding.sources.clip, mmctr.clicks.split, mmctr_scorer.clicks.split\n"
        "assert mmctr.clicks.split is not mmctr_scorer.clicks.split\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(logged)], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_its_requirements_name_every_package_that_it_imports(logged):
    imported = set()
    for path in [logged / "scorer.py", *(logged / "code").rglob("*.py")]:
        for node in ast.walk(parsed(path.read_bytes())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
    assert imported - sys.stdlib_module_names - {"mmctr_scorer", "mlflow"} == set(SCORER_PACKAGES)
    required = (logged / "requirements.txt").read_text()
    assert all(f"{name}==" in required for name in SCORER_PACKAGES)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    return open_shop(folder)


def test_raw_rows_are_scored_by_the_columns_that_the_model_was_trained_with(shop, tmp_path):
    checkpoint = shop.trained(Recipe(epochs=1, batch_size=100))
    save_checkpoint(checkpoint, tmp_path / "c.pt")
    inputs = _scored_columns(checkpoint).to_dict()
    kinds = [(one["name"], one["type"] if one["type"] != "array" else [one["items"]["type"]]) for one in inputs]
    assert kinds == [
        ("seen", ["string"]),
        ("shown", "string"),
        ("hour", "long"),
        ("device", "string"),
        ("words", ["string"]),
        ("dwell", "double"),
    ]
    from tasks.tracking.scorer import DINScorer

    scorer = DINScorer()
    scorer.load_context(SimpleNamespace(artifacts={"checkpoint": str(tmp_path / "c.pt")}))
    rows = pandas.read_parquet(shop.folder / "valid.parquet")
    found = scorer.predict(None, rows)
    assert np.allclose(found, predict_probabilities(restore_model(checkpoint), shop.valid, batch_size=64), atol=1e-6)
    with pytest.raises(InputError, match="rows to be scored must have the column device; add it"):
        scorer.predict(None, rows.drop(columns="device"))
    with pytest.raises(InputError, match=r"the values of dwell must be double: .*"):
        scorer.predict(None, rows.assign(dwell="much"))
