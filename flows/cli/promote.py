"""`mmctr promote`: the champion by hand. What it changes is in MLflow's registry, with who did it and when."""

import getpass
import os
from datetime import UTC, datetime
from shlex import quote
from tempfile import TemporaryDirectory

from flows.run.context import registry_of, run_context
from flows.run.outputs import check_places
from flows.run.publish import Choice, Model, Outputs, model_of_version, publish_model
from flows.run.settings import prediction_settings
from mmctr.common.errors import InputError, as_input_error
from mmctr.common.files import PARTIAL
from mmctr.common.text import first_line, shown_value
from mmctr.inputs.rules import check_split
from tasks.cache.stage import RunContext
from tasks.cache.workspace import Workspace
from tasks.predict import make_submission
from tasks.settings.named import settings_named
from tasks.settings.sections import PipelineConfig
from tasks.tracking.fetching import LostFileError
from tasks.tracking.registry import CHAMPION, Registry, Version
from tasks.tracking.store_address import tracking_uri
from tasks.tracking.store_check import check_store

VERSIONS_SHOWN = 20


def change_champion(config: PipelineConfig, *, version: str | None, rollback: bool, pin: bool, unpin: bool) -> str:
    """Do what was asked for, publish the champion's files, and say what was done.

    Raises:
        InputError: the options contradict each other, there is no such version, or its model cannot be loaded.
    """
    if version is not None and rollback:
        raise InputError(f"the champion is a VERSION or the one before, not both; use {version} or --rollback")
    if pin and unpin:
        raise InputError("the champion is pinned or not; use --pin or --unpin")
    check_store(tracking_uri(), config.experiment)
    context = run_context(config)
    workspace = context.workspace
    check_places(workspace)
    # Before anything is read: a run that ends now may make another model the champion.
    with workspace.running(), workspace.locks.of_champion():
        model, changed = _change(
            registry_of(config), workspace, version=version, rollback=rollback, pin=pin, unpin=unpin
        )
        if config.promote.publish == "latest":
            return "\n".join([*changed, "outputs       stay as they are (promote.publish = latest)"])
        return "\n".join([*changed, *_publish(model, context, config)])


def _change(
    registry: Registry, workspace: Workspace, *, version: str | None, rollback: bool, pin: bool, unpin: bool
) -> tuple[Model, list[str]]:
    """Change the champion or its pin; returns the model that is champion now, and what was done, in lines."""
    champion, champions = registry.version_at(CHAMPION), registry.champions()
    target = champion
    if version is not None:
        target = _version(registry, version)
    elif rollback:
        if champion is not None:
            champions = champions[:-1]
        target = _last(registry, champions, now=champion)
    if target is None:
        raise InputError(
            f"{registry.name} has no champion; make one: mmctr promote {quote(str(workspace.base_path))} VERSION, with "
            f"VERSION one of {registry.names()}"
        )
    moves = champion is None or target.number != champion.number
    pinned = registry.pin()
    if moves and champion is not None and pinned and not (pin or unpin):
        raise InputError(
            f"the champion of {registry.name}, version {champion.number}, is pinned ({pinned}) and stays; add --unpin, "
            f"or --pin to pin version {target.number} instead"
        )
    model = _usable(registry, target, workspace)
    done = _done_by()
    if moves:
        _move(registry, target, champion, champions, rollback=rollback, done=done)
    if pin or unpin:
        registry.set_pin(done if pin else None)
    before = f", {f'version {champion.number}' if champion else 'none'} until now" if moves else " as before"
    return model, [f"champion      {registry.name} version {target.number}{before}", _pin_line(registry.pin())]


def champions_text(config: PipelineConfig) -> str:
    """Who is the champion, who was, and which versions there are, for a terminal."""
    check_store(tracking_uri(), config.experiment)
    registry = registry_of(config)
    versions, champions = registry.versions(), registry.champions()
    champion = registry.version_at(CHAMPION)
    if not versions:
        raise InputError(
            f"the MLflow store at {registry.tracker.uri} has no model {registry.name} yet; run the pipeline first, set "
            "MLFLOW_TRACKING_URI to another store, or promote.registered_model to another name"
        )
    lines = [
        f"champion      {registry.name} {f'version {champion.number}' if champion else 'has none'}",
        _pin_line(registry.pin()),
        f"so far        {', '.join(champions) or 'none'}",
        "versions",
    ]
    for version in versions[:VERSIONS_SHOWN]:
        reason = version.tags.get("decision.reason", "not decided")
        if reason.startswith(CHAMPION) and CHAMPION not in version.aliases:
            reason = f"was {reason}"
        lines.append(f"  {version.number:>4}  {', '.join(version.aliases) or '-':<12}{reason}")
    if len(versions) > VERSIONS_SHOWN:
        lines.append(f"  and {len(versions) - VERSIONS_SHOWN} older ones")
    return "\n".join(lines)


def _version(registry: Registry, name: str) -> Version:
    found = registry.find(name)
    if found is None:
        raise InputError(f"VERSION is one of {registry.name} ({registry.names()}); found {shown_value(name)}")
    return found


def _last(registry: Registry, champions: list[str], *, now: Version | None) -> Version:
    """The last of the champions before the one that is champion `now`."""
    if not champions:
        raise InputError(
            f"--rollback goes back to the champion before, and {registry.name} had "
            f"{'none' if now is None else f'none but version {now.number}'}; name the VERSION that is to be champion, "
            f"one of {registry.names()}"
        )
    return _version(registry, champions[-1])


def _usable(registry: Registry, version: Version, workspace: Workspace) -> Model:
    """The model of a version, which is loaded to see that it can be."""
    try:
        return model_of_version(version, registry=registry, workspace=workspace, usable=True)
    except LostFileError as error:
        raise InputError(
            f"a champion must be a model that can be loaded; {registry.name} version {version.number} cannot "
            f"({error}); choose another: {registry.names()}"
        ) from error


def _move(
    registry: Registry,
    target: Version,
    champion: Version | None,
    champions: list[str],
    *,
    rollback: bool,
    done: str,
) -> None:
    reason = f"champion: {'by a rollback' if rollback else 'by hand'}, {done}"
    before = "none" if champion is None else champion.number
    registry.tag(target, {"decision.reason": reason, "decision.by": done, "decision.before": before})
    if rollback:
        registry.roll_back(champions, target)
    else:
        registry.make_champion(target)
    registry.tag(target, {"decision": CHAMPION})


def _publish(model: Model, context: RunContext, config: PipelineConfig) -> list[str]:
    """Publish the champion's files with a submission for the test split as it is now; what that did, in lines."""
    workspace = context.workspace
    try:
        if not config.data.test:
            return _outputs(publish_model(Choice(model, None), workspace=workspace))
        test = workspace.parts_ref(check_split(workspace.base_path, config.data.layout, "test"))
        made_in = TemporaryDirectory(dir=workspace.root, prefix=".promote.", suffix=PARTIAL)
        with made_in as folder, settings_named("predict"):
            predicted = make_submission(
                context,
                workspace.base_path / folder,
                test=test,
                checkpoint=model.checkpoint,
                **prediction_settings(config),
            )
            return _outputs(publish_model(Choice(model, predicted), workspace=workspace))
    except Exception as error:  # the champion has changed, and that is to be said
        mistake = as_input_error(error)
        if mistake is None:
            raise
        return [f"outputs       STAY AS THEY WERE, they could not be made: {first_line(mistake)}"]


def _outputs(outputs: Outputs) -> list[str]:
    return [f"outputs of    {outputs.owner}", *(f"  {path}" for path in outputs.places.values())]


def _pin_line(pin: str | None) -> str:
    return f"pinned        {'no, the pipeline may choose another' if pin is None else f'since {pin}'}"


def _done_by() -> str:
    """When something was done and by whom, for a tag."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        user = f"user {os.getuid()}"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by {user}"
