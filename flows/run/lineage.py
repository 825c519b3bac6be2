"""The lineage that MLflow keeps of a training: the run's data, and its stages before."""

import re

from flows.run.inputs import Inputs
from flows.run.items import ItemStages
from tasks.settings.sections import PipelineConfig
from tasks.tracking.lineage import Lineage

NO_METRIC = re.compile(r"[^\w./ -]", re.ASCII)  # what a metric's name in MLflow cannot have
PRESET_TAG, RULES_TAG = "mmctr.preset", "mmctr.rules"
LONGEST = 200  # of MLflow's 250 characters


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
        for name, share in items.reduced.part_variances.items():
            counts[f"explained_variance.{NO_METRIC.sub('_', name)[:LONGEST]}"] = share
    return Lineage(
        params={f"{name}.{field}": value for name, fields in settings.items() for field, value in fields.items()},
        digests=inputs.digests(),
        counts=counts,
        pca=None if items.reduced is None else items.reduced.pca,
        reports={name: result.report for name, result in results.items()},
        reason=reason,
        tags={PRESET_TAG: config.preset, RULES_TAG: config.rules},
        ancestor=ancestor,
    )
