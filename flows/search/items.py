"""What the trials of a search train on: the stages before training, once for all trials that need the same."""

import json
from dataclasses import dataclass

from flows.run.inputs import Inputs, open_inputs
from flows.run.items import ItemStages, make_items
from flows.run.lineage import lineage_of
from flows.run.training import ancestor_of, training_inputs
from flows.search.trial import Job
from mmctr.inputs.layout import Half
from tasks.cache.run_manifest import ManifestWriter
from tasks.cache.stage import RunContext, StageRunner
from tasks.settings.sections import PipelineConfig
from tasks.tracking.ancestor import Ancestor
from tasks.tracking.lineage import Lineage
from tasks.tracking.registry import Registry


@dataclass(frozen=True)
class Prepared:
    """What comes before a training, and the cache key of each of its stages."""

    inputs: Inputs
    ancestor: Ancestor
    items: ItemStages
    lineage: Lineage
    keys: dict[str, str]


class Items:
    """The items of a search's trials."""

    def __init__(
        self, context: RunContext, manifest: ManifestWriter, registry: Registry, *, half: Half, reason: str
    ) -> None:
        self.context, self.manifest, self.registry = context, manifest, registry
        self.half, self.reason = half, reason
        self._known: dict[str, Prepared] = {}

    def job_of(self, number: int, config: PipelineConfig) -> Job:
        """The job of a trial, which the manifest of the search knows from now on."""
        found = self.of(config)
        inputs = training_inputs(config, found.inputs, found.items, found.ancestor, half=self.half)
        job = Job(number, inputs, found.lineage)
        self.manifest.begin_stage(f"train of trial {number}", job.key, runs=True)
        return job

    def of(self, config: PipelineConfig) -> Prepared:
        """What the trials with such a configuration train on."""
        sections = [config.data, config.extract, config.embed, config.reduce]
        seed = config.train.seed if config.embed.source == "none" else None  # of the random vectors
        name = json.dumps([*(section.keyed() for section in sections), seed], sort_keys=True)
        if name not in self._known:
            self._known[name] = self._make(config)
        return self._known[name]

    def _make(self, config: PipelineConfig) -> Prepared:
        workspace, keys = self.context.workspace, {}

        def begin(stage: str, key: str, runs: bool) -> None:
            keys[stage] = key
            self.manifest.begin_stage(f"{stage} {key}", key, runs)

        inputs = open_inputs(config, workspace)
        ancestor = ancestor_of(config, inputs, registry=self.registry, workspace=workspace)
        items = make_items(StageRunner(self.context, begin=begin), config, inputs, ancestor)
        lineage = lineage_of(config, inputs, items, ancestor=ancestor.run_id, reason=self.reason)
        return Prepared(inputs, ancestor, items, lineage, keys)
