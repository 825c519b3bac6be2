"""What the stages return: references to the files they made, and a few figures. Small, and free of any pickle."""

from typing import Annotated, Any, Literal, get_args

from prefect.serializers import Serializer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tasks.cache.workspace import FileRef, FolderRef, ImagesRef
from tasks.settings.sections import StageName

Counts = dict[str, int]


class Result(BaseModel):
    """Base of all results."""

    model_config = ConfigDict(frozen=True)

    def references(self) -> list[FileRef | FolderRef]:
        """Everything on the disk that the result refers to."""
        values = [getattr(self, name) for name in type(self).model_fields]
        return [value for value in values if isinstance(value, FileRef | FolderRef)]


class Extracted(Result):
    """Images, their manifest, and the report of what was skipped and why."""

    stage: Literal["extract"] = "extract"
    images: ImagesRef
    manifest: FileRef
    report: FileRef
    counts: Counts


class Embedded(Result):
    """Vectors of all items."""

    stage: Literal["embed"] = "embed"
    embeddings: FileRef
    report: FileRef
    counts: Counts


class Reduced(Result):
    """`item_emb_task1_clip.parquet` and the PCA model."""

    stage: Literal["reduce"] = "reduce"
    item_embeddings: FileRef
    pca: FileRef
    explained_variance: float  # share that is kept, 0..1
    part_variances: dict[str, float] = {}  # the same of each part, where several are side by side


class BuiltWeights(Result):
    """The id map and the embedding table."""

    stage: Literal["build_weights"] = "build_weights"
    table: FileRef
    items: int


class Trained(Result):
    """The best checkpoint and the MLflow run that records the training."""

    stage: Literal["train"] = "train"
    checkpoint: FileRef
    history: FileRef
    best_epoch: int
    valid_auc: float
    valid_logloss: float
    run_id: str


class Predicted(Result):
    """The submission, and the figures of test where it has labels."""

    stage: Literal["predict"] = "predict"
    csv: FileRef
    archive: FileRef
    rows: int
    auc: float | None = None
    logloss: float | None = None


STAGES = get_args(StageName)
AnyResult = Annotated[Extracted | Embedded | Reduced | BuiltWeights | Trained | Predicted, Field(discriminator="stage")]
_ADAPTER: TypeAdapter[Any] = TypeAdapter(AnyResult)


class ResultSerializer(Serializer):
    """Writes results as JSON and reads them through their pydantic models."""

    type: Literal["mmctr-result"] = "mmctr-result"

    def dumps(self, obj: Any) -> bytes:
        """JSON of a result; a task that was refused has none, and Prefect then asks for that of None."""
        return b"null" if obj is None else _ADAPTER.dump_json(obj)

    def loads(self, blob: bytes) -> Any:
        """The result that `dumps` wrote; anything else raises, and Prefect then runs the task again."""
        return _ADAPTER.validate_json(blob)
