"""The lineage that MLflow keeps of a training: the run's data, and its stages before."""

from flows.run.inputs import Inputs
from flows.run.items import ItemStages
from tasks.settings.sections import PipelineConfig
from tasks.tracking.lineage import Lineage


def lineage_of(config: PipelineConfig, inputs: Inputs, items: ItemStages, *, ancestor: str, reason: str) -> Lineage:
    """The lineage of a training, after the results of the stages before it.

    `ancestor` is the MLflow run of the model that it starts from, or empty.
    """
    sections = {"data": config.data, "extract": config.extract, "embed": config.embed, "reduce": config.reduce}
    settings = {name: section.model_dump(mode="json") for name, section in sections.items()}
    stages = {"extract": items.images, "embed": items.embedded}
    results = {name: result for name, result in stages.items() if result is not None}
    counts: dict[str, float] = {
        f"{name}.{what}": count for name, result in results.items() for what, count in result.counts.items()
    }
    if items.reduced is not None:
        counts["explained_variance"] = items.reduced.explained_variance
    return Lineage(
        params={f"{name}.{field}": value for name, fields in settings.items() for field, value in fields.items()},
        digests=inputs.digests(),
        counts=counts,
        pca=None if items.reduced is None else items.reduced.pca,
        reports={name: result.report for name, result in results.items()},
        reason=reason,
        ancestor=ancestor,
    )
