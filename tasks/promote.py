"""After training: is the new model better than the champion on the same validation clicks?

The figures and the decision are tags of the model's version, so that a run that changes nothing decides nothing anew.
"""

from dataclasses import dataclass

from mlflow.exceptions import MlflowException
from prefect import task
from prefect.cache_policies import NO_CACHE

from mmctr.errors import InputError, first_line
from tasks.config import PromoteConfig
from tasks.references import FileRef
from tasks.refusal import refusing
from tasks.registry import CHALLENGER, CHAMPION, Registry, Version, fetch
from tasks.results import Trained
from tasks.stage import Place, logger
from tasks.store_calls import StoreError
from tasks.tracking import Tracker
from tasks.training_run import CHECKPOINT


@dataclass(frozen=True)
class Decision:
    """Which of two models is the champion now, and why. AUCs are on this run's validation clicks."""

    version: str
    alias: str
    auc: float
    champion: str | None  # the version that was compared with
    champion_auc: float | None
    reason: str


@task(name="promote", task_run_name="promote", cache_policy=NO_CACHE, persist_result=False)
@refusing
def promote(
    place: Place, *, config: PromoteConfig, trained: Trained, valid: FileRef, digests: dict[str, str]
) -> Decision:
    """Register the training's model and move `champion` to it where it is better than the champion by the margin."""
    registry = Registry(Tracker(place.tracking_uri, place.experiment, pauses=place.pauses), config.registered_model)
    tags = {f"digest.{name}": digest for name, digest in digests.items()}
    tags |= {"valid_auc": repr(trained.valid_auc), "valid_logloss": repr(trained.valid_logloss)}
    version = registry.register(trained.run_id, tags={**tags, "base_path": str(place.base_path)})
    champion = registry.at(CHAMPION)
    if champion is not None and champion.number == version.number:
        return _remembered(version, alias=CHAMPION)
    question = {
        "decision.valid": valid.sha256,
        "decision.margin": repr(config.margin),
        "decision.champion": "none" if champion is None else champion.number,
    }
    if "decision" in version.tags and question.items() <= version.tags.items():
        decision = _remembered(version, alias=version.tags["decision"])
    else:
        decision = _decide(place, registry, config, trained, version, champion, valid)
        registry.tag(version, question | _as_tags(decision))  # before the alias: a killed run repeats the move
        logger().info("version %s of %s: %s", version.number, registry.name, decision.reason)
    registry.give(decision.alias, version)
    return decision


def _remembered(version: Version, *, alias: str) -> Decision:
    """The decision in a version's tags; its alias may have been moved by hand since."""
    tags = version.tags
    champion, champion_auc = tags.get("decision.champion", "none"), tags.get("decision.champion_auc", "none")
    return Decision(
        version=version.number,
        alias=alias,
        auc=float(tags.get("decision.auc", tags["valid_auc"])),
        champion=None if champion == "none" else champion,
        champion_auc=None if champion_auc == "none" else float(champion_auc),
        reason=tags["decision.reason"] if tags.get("decision") == alias else f"{alias}: the alias was set by hand",
    )


def _as_tags(decision: Decision) -> dict[str, str]:
    return {
        "decision": decision.alias,
        "decision.auc": repr(decision.auc),
        "decision.champion_auc": "none" if decision.champion_auc is None else repr(decision.champion_auc),
        "decision.reason": decision.reason,
    }


def _decide(
    place: Place,
    registry: Registry,
    config: PromoteConfig,
    trained: Trained,
    version: Version,
    champion: Version | None,
    valid: FileRef,
) -> Decision:
    if champion is None:
        reason = f"champion with AUC {trained.valid_auc:.4f}: there is no other"
        return Decision(version.number, CHAMPION, trained.valid_auc, None, None, reason)
    from mmctr.checkpoint import load_checkpoint
    from mmctr.device import resolve_device
    from mmctr.scoring import score_checkpoint

    workspace, device = place.workspace, resolve_device(place.device)
    clicks = workspace.path(valid)
    auc = score_checkpoint(load_checkpoint(workspace.path(trained.checkpoint)), clicks, device=device).auc
    try:
        ref = fetch(registry.tracker, champion.run_id, CHECKPOINT, workspace=workspace)
        champion_auc = score_checkpoint(load_checkpoint(workspace.path(ref)), clicks, device=device).auc
    except StoreError:
        raise
    except (InputError, MlflowException, OSError) as error:
        reason = (
            f"challenger with AUC {auc:.4f}: the champion, version {champion.number}, cannot be scored "
            f"({first_line(error)}); move the alias by hand"
        )
        return Decision(version.number, CHALLENGER, auc, champion.number, None, reason)
    better = auc > champion_auc + config.margin
    beside = f"AUC {auc:.4f} beside {champion_auc:.4f} of version {champion.number}, margin {config.margin:g}"
    reason = f"{'champion' if better else 'challenger'}: {beside}"
    return Decision(version.number, CHAMPION if better else CHALLENGER, auc, champion.number, champion_auc, reason)
