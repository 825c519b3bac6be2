"""What MLflow records of the data and of the stages before training."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.cache.unkeyed import Unkeyed
from tasks.cache.workspace import FileRef


class Lineage(BaseModel, Unkeyed):
    """Settings, digests, counts and files of what came before a training, and why it was started."""

    model_config = ConfigDict(frozen=True)
    params: dict[str, Any]
    digests: dict[str, str]
    counts: dict[str, float]
    pca: FileRef | None  # none where no vectors were reduced
    reports: dict[str, FileRef]
    reason: str = "by hand"
    tags: dict[str, str] = {}  # of the MLflow run: what it was asked for
    ancestor: str = ""  # MLflow run of the model that this one starts from
