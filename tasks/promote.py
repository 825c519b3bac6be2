"""After training: is the new model better than the champion on the same validation clicks?

The figures and the decision are tags of the model's version. A decision is made once, when the model was trained: a run
that finds its training in the cache decides nothing, so an alias that was moved by hand stays where it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from mmctr.common.text import first_line, shown_names
from mmctr.inputs.layout import ClickColumns, HeldOut
from tasks.cache.results import Trained
from tasks.cache.stage import RunContext, logger
from tasks.cache.workspace import FileRef, PartsRef
from tasks.running.refusal import refusing
from tasks.settings.sections import PromoteConfig
from tasks.tracking.fetching import LostFileError, keep_files, usable_checkpoint
from tasks.tracking.registry import CHALLENGER, CHAMPION, Registry, Version

if TYPE_CHECKING:  # PyTorch is loaded when there is something to score
    from mmctr.evaluation.scoring import Score
    from mmctr.inputs.vocabulary import Vocabulary
    from mmctr.models.checkpoint import Checkpoint

NEITHER = "neither"  # of the two aliases
DECIDED_TAG = "mmctr.decided."  # of an MLflow run, and the registered model's name; a version may be deleted


@dataclass(frozen=True)
class Decision:
    """Which of two models is the champion now, and why. AUCs are on this run's validation clicks."""

    version: str
    alias: str
    auc: float
    champion: str | None  # the version that was compared with
    champion_auc: float | None
    reason: str


@dataclass(frozen=True)
class ValidClicks:
    """The clicks that models are compared on."""

    columns: ClickColumns
    files: PartsRef
    held_out: HeldOut | None  # which rows of the files, where they are those of train


@task(name="promote", task_run_name="promote", cache_policy=NO_CACHE, persist_result=False)
@refusing
def promote(
    context: RunContext,
    *,
    config: PromoteConfig,
    registry: Registry,
    trained: Trained,
    item_embeddings: FileRef | None,
    columns: ClickColumns,
    valid: PartsRef,
    held_out: HeldOut | None,
    digests: dict[str, str],
) -> Decision:
    """Register the training's model and, where that was not decided before, make it champion or challenger.

    `columns`, `valid` and `held_out` are those that the training chose its best epoch by.
    """
    tracker, workspace = registry.tracker, context.workspace
    decided_tag = DECIDED_TAG + registry.name
    with workspace.locks.of_champion():
        keep_files(
            tracker,
            trained.run_id,
            checkpoint=trained.checkpoint,
            item_embeddings=item_embeddings,
            workspace=workspace,
        )
        decided_before = decided_tag in tracker.client.get_run(trained.run_id).data.tags and bool(registry.versions())
        tags = {f"digest.{name}": digest for name, digest in digests.items()}
        tags |= {"valid_auc": repr(trained.valid_auc), "valid_logloss": repr(trained.valid_logloss)}
        version = registry.register(trained.run_id, tags={**tags, "base_path": str(workspace.base_path)})
        champion = registry.version_at(CHAMPION)
        if decided_before or "decision" in version.tags:
            return _remembered(version, champion)
        clicks = ValidClicks(columns, valid, held_out)
        decision = _settle(context, registry, config, trained, version, champion, clicks)
        tracker.client.set_tag(trained.run_id, decided_tag, decision.alias)
        return decision


def _settle(
    context: RunContext,
    registry: Registry,
    config: PromoteConfig,
    trained: Trained,
    version: Version,
    champion: Version | None,
    valid: ValidClicks,
) -> Decision:
    """Decide, and let the registry say so; what a killed process left half done is finished."""
    if champion is not None and champion.number == version.number:  # moved by a run that was killed, or by hand
        decision = _remembered(version, champion)
    else:
        decision = _decide(context, registry, config, trained, version, champion, valid)
        registry.tag(version, _as_tags(decision, valid=valid, config=config))
        logger().info("version %s of %s: %s", version.number, registry.name, decision.reason)
        if decision.alias == CHAMPION:
            registry.make_champion(version)
        else:
            registry.set_alias(decision.alias, version)
    registry.tag(version, {"decision": decision.alias})  # last: what was killed before this is decided anew
    return decision


def _remembered(version: Version, champion: Version | None) -> Decision:
    """The decision in a version's tags, and what has become of it since."""
    tags = version.tags
    compared, champion_auc = tags.get("decision.champion", "none"), tags.get("decision.champion_auc", "none")
    is_champion = champion is not None and champion.number == version.number
    alias = CHAMPION if is_champion else CHALLENGER if CHALLENGER in version.aliases else NEITHER
    reason = tags.get("decision.reason", "decided before its version in the registry was deleted")
    if is_champion and not reason.startswith(CHAMPION):
        reason = "champion: the alias was set by hand"
    elif not is_champion and not reason.startswith(CHALLENGER):
        now = "there is none" if champion is None else f"that is version {champion.number}"
        reason = f"not the champion ({now}); `mmctr promote BASE_PATH {version.number}` makes it the champion"
    return Decision(
        version=version.number,
        alias=alias,
        auc=float(tags.get("decision.auc", tags["valid_auc"])),
        champion=None if compared == "none" else compared,
        champion_auc=None if champion_auc == "none" else float(champion_auc),
        reason=reason,
    )


def _as_tags(decision: Decision, *, valid: ValidClicks, config: PromoteConfig) -> dict[str, str]:
    return {
        "decision.valid": valid.files.sha256,
        "decision.policy": config.policy,
        "decision.margin": repr(config.margin if config.policy == "better" else config.tolerance),
        "decision.champion": decision.champion or "none",
        "decision.auc": repr(decision.auc),
        "decision.champion_auc": "none" if decision.champion_auc is None else repr(decision.champion_auc),
        "decision.reason": decision.reason,
        "decision.by": "the pipeline",
        "decision.at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def _decide(
    context: RunContext,
    registry: Registry,
    config: PromoteConfig,
    trained: Trained,
    version: Version,
    champion: Version | None,
    valid: ValidClicks,
) -> Decision:
    if champion is None:
        reason = f"champion with AUC {trained.valid_auc:.4f}: there is no other"
        return Decision(version.number, CHAMPION, trained.valid_auc, None, None, reason)
    from mmctr.models.checkpoint import load_checkpoint

    workspace, pin = context.workspace, registry.pin()
    with workspace.reading_table(valid.files) as clicks:
        own = load_checkpoint(workspace.path(trained.checkpoint))
        new = _scored(context, own, clicks, valid)
        try:
            ref = usable_checkpoint(registry.tracker, champion.run_id, workspace=workspace)
            earlier = load_checkpoint(workspace.path(ref))
            _check_comparable(earlier, own, clicks)
        except LostFileError as error:
            alias, reason = _without_comparison(champion, auc=new.auc, pin=pin, why=first_line(error))
            logger().warning("%s", reason)
            return Decision(version.number, alias, new.auc, champion.number, None, reason)
        old = _scored(context, earlier, clicks, valid)
    wins, words = _compare(config, new, old, champion=champion.number)
    if pin is not None:
        words += f"; version {champion.number} is pinned ({pin}), `mmctr promote BASE_PATH --unpin` ends that"
    alias = CHAMPION if wins and pin is None else CHALLENGER
    return Decision(version.number, alias, new.auc, champion.number, old.auc, f"{alias}: {words}")


def _check_comparable(earlier: "Checkpoint", own: "Checkpoint", clicks: Sequence[Path]) -> None:
    """Refuse a model that cannot read the clicks that `own` was trained to read: it is one of other data.

    Raises:
        LostFileError: its ids or values are of another kind, or the clicks do not have a feature of it.
    """
    from mmctr.inputs.tables import column_names

    names = column_names(clicks)
    absent = [feature.column for feature in earlier.columns.features if feature.column not in names]
    if absent:
        raise LostFileError(f"it reads {shown_names(absent)}, which these clicks do not have")
    if earlier.ids.is_text != own.ids.is_text:
        raise LostFileError(f"its item ids are {_kind(earlier.ids)}, those of these clicks are {_kind(own.ids)}")
    ours = {fitted.feature.column: fitted.vocabulary for fitted in own.row_encoding.features}
    for fitted in earlier.row_encoding.features:
        known, name = ours.get(fitted.feature.column), fitted.feature.column
        if known and fitted.vocabulary and known.is_text != fitted.vocabulary.is_text:
            raise LostFileError(f"its values of {shown_names([name])} are {_kind(fitted.vocabulary)}, these are others")


def _kind(vocabulary: "Vocabulary") -> str:
    return "texts" if vocabulary.is_text else "integers"


def _scored(context: RunContext, model: "Checkpoint", clicks: Sequence[Path], valid: ValidClicks) -> "Score":
    """A model's figures on the files of `valid`."""
    from mmctr.compute.device import resolve_device
    from mmctr.evaluation.scoring import score_checkpoint

    device = resolve_device(context.device)
    return score_checkpoint(model, clicks, device=device, columns=valid.columns, held_out=valid.held_out)


def _compare(config: PromoteConfig, new: "Score", old: "Score", *, champion: str) -> tuple[bool, str]:
    """Whether the new model is to be the champion by the policy, and why."""
    beside = f"AUC {new.auc:.4f} beside {old.auc:.4f} of version {champion}"
    if config.policy == "better":
        return new.auc > old.auc + config.margin, f"{beside}, margin {config.margin:g}"
    from mmctr.evaluation.scoring import auc_difference_interval

    lowest, highest = auc_difference_interval(new.labels, new.logits, old.logits)
    clearly_worse = new.auc < old.auc - config.tolerance and highest < 0
    words = f"newer and {'' if clearly_worse else 'not '}clearly worse, {beside}"
    interval = f"the difference is in {lowest:+.4f} to {highest:+.4f} (95 %)"
    return not clearly_worse, f"{words}, tolerance {config.tolerance:g}, {interval}"


def _without_comparison(champion: Version, *, auc: float, pin: str | None, why: str) -> tuple[str, str]:
    """Alias and reason of a new model where the champion cannot be loaded: nothing is served by waiting for it."""
    number = champion.number
    lost = f"THE CHAMPION UNTIL NOW, VERSION {number}, CANNOT BE LOADED ({why}) and was not compared"
    if pin is None:
        back = f"`mmctr promote BASE_PATH {number}` brings it back once it can be"
        return CHAMPION, f"{CHAMPION} with AUC {auc:.4f}: {lost}; {back}"
    unpin = "`mmctr promote BASE_PATH VERSION --unpin` moves the alias to another"
    return CHALLENGER, f"{CHALLENGER} with AUC {auc:.4f}: {lost}, but it is pinned ({pin}); {unpin}"
