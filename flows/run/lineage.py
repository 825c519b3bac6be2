"""The lineage that MLflow keeps of a training: the run's data, and its stages before."""

from flows.run.inputs import Inputs
from tasks.cache.results import Embedded, Extracted, Reduced
from tasks.settings.sections import PipelineConfig
from tasks.tracking.lineage import Lineage


def lineage_of(
    config: PipelineConfig,
    inputs: Inputs,
    images: Extracted,
    embedded: Embedded,
    reduced: Reduced,
    *,
    ancestor: str,
    reason: str,
) -> Lineage:
    """The lineage of a training, after the results of the stages before it.

    `ancestor` is the MLflow run of the model that it starts from, or empty.
    """
    sections = {"extract": config.extract, "embed": config.embed, "reduce": config.reduce}
    settings = {name: section.model_dump(mode="json") for name, section in sections.items()}
    counts = {f"extract.{name}": value for name, value in images.counts.items()}
    counts |= {f"embed.{name}": value for name, value in embedded.counts.items()}
    return Lineage(
        params={f"{name}.{field}": value for name, fields in settings.items() for field, value in fields.items()},
        digests=inputs.digests(),
        counts={**counts, "explained_variance": reduced.explained_variance},
        pca=reduced.pca,
        reports={"extract": images.report, "embed": embedded.report},
        reason=reason,
        ancestor=ancestor,
    )
