"""Which models the package open_clip configures, where their weights and tokenizers are, and how they read pixels.

Weights of a tag are kept where open_clip keeps them, in the cache of Hugging Face's hub or in ~/.cache/clip.
"""

import socket
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from mmctr.common.errors import InputError
from mmctr.common.text import first_line, shown_names, shown_value
from mmctr.encoders.names import ModelName
from mmctr.encoders.pixels import PIXEL_MEAN, PIXEL_STD, Pixels

EXTRA = "pip install 'mmctr[open_clip]'"
PATIENCE = 10  # seconds until the hub must have answered
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class View:
    """What a model takes of an image, and how it normalises red, green and blue in the range 0 to 1."""

    pixels: Pixels
    mean: tuple[float, ...]
    std: tuple[float, ...]


def package() -> ModuleType:
    """The package open_clip.

    Raises:
        InputError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import open_clip
    except ImportError as error:
        raise InputError(
            f"a model of open_clip needs the packages of that extra, and {error.name or 'one'} is missing "
            f"({first_line(error)}).\nInstall them: {EXTRA}"
        ) from error
    return open_clip


def architecture_config(architecture: str) -> dict[str, Any]:
    """How open_clip builds a model, as the package's own file says.

    Raises:
        InputError: it knows no such model, or takes its text tower from another package.
    """
    open_clip = package()
    known = open_clip.list_models()  # it takes more names than these: `hf-hub:` asks a network, `local-dir:` a folder
    if architecture not in known:
        raise InputError(
            f"open_clip must know the model, and there is no {shown_value(architecture)}; it knows "
            f"{shown_names(_like(architecture, known))}.\nopen_clip.list_models() has all of them."
        )
    config: dict[str, Any] = open_clip.get_model_config(architecture)
    if "hf_model_name" in config["text_cfg"]:
        raise InputError(
            f"the text tower of a model must be open_clip's own, and {architecture} takes that of "
            f"{shown_value(config['text_cfg']['hf_model_name'])} from the package transformers, whose weights may be "
            "pickled.\nUse a model such as ViT-B-16-SigLIP2 instead."
        )
    return config


def _like(architecture: str, known: list[str]) -> list[str]:
    """All models, those first that begin as `architecture` does."""
    beginning = architecture[:5].lower()
    return sorted(known, key=lambda name: (not name.lower().startswith(beginning), known.index(name)))


def tagged_weights(model: ModelName, *, download: bool) -> Path | None:
    """The file of the weights that are published under a tag; None where they are not here and nothing is downloaded.

    Raises:
        InputError: there is no such tag (nor file), it is for another activation, or the weights were not to be had.
    """
    tag = _tag_config(model)
    found = _kept(tag)
    if found is not None or not download:
        return found
    try:
        from open_clip.pretrained import download_pretrained

        check_reachable()
        return Path(download_pretrained(tag))
    except Exception as error:
        repository, name = _repository(tag)
        raise InputError(
            f"the weights of {model} must be here, and getting them failed ({type(error).__name__}: "
            f"{first_line(error)}).\nWhere there is a network, run `hf download {repository} {name}`, copy the file "
            f'here and name it: `model = "{model.with_weights("/path/to/" + name)}"`'
        ) from error


def _tag_config(model: ModelName) -> dict[str, Any]:
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    tag: dict[str, Any] = get_pretrained_cfg(model.architecture, model.weights)
    if not tag:
        tags = list_pretrained_tags_by_model(model.architecture)
        raise InputError(
            f"weights of {model.architecture} must be a file or a tag that open_clip knows, {shown_names(tags)}; "
            f"{shown_value(model.weights)} is neither"
        )
    quick = bool(package().get_model_config(model.architecture).get("quick_gelu", False))
    if bool(tag.get("quick_gelu", False)) != quick:
        other = model.architecture.removesuffix("-quickgelu") if quick else f"{model.architecture}-quickgelu"
        raise InputError(
            f"a model must have the activation that its weights were trained with; {model} has another one; use "
            f"open_clip:{other}/{model.weights}"
        )
    return tag


def _repository(tag: dict[str, Any]) -> tuple[str, str]:
    """Where the weights of a tag are published: a repository of Hugging Face's hub, and the file in it."""
    repository, _, name = tag["hf_hub"].rpartition("/")
    return repository, name or "open_clip_model.safetensors"


def _kept(tag: dict[str, Any]) -> Path | None:
    """The file that open_clip would use without a network: of two formats that which needs no pickle."""
    from huggingface_hub import try_to_load_from_cache

    repository, name = _repository(tag)
    names = [Path(name).with_suffix(".safetensors").name, name, "open_clip_pytorch_model.bin"]
    for candidate in dict.fromkeys(names):
        found = try_to_load_from_cache(repository, candidate)
        if isinstance(found, str):
            return Path(found)
    return None


def check_reachable() -> None:
    """Find out at once that there is no network: the hub's own client tries for most of a minute.

    Raises:
        OSError: Hugging Face's hub does not answer.
    """
    from huggingface_hub.constants import ENDPOINT

    hub = urlsplit(ENDPOINT)
    if not getproxies():
        socket.create_connection((hub.hostname, hub.port or 443), timeout=PATIENCE).close()


def view_of(model: ModelName, *, resolution: int) -> View:
    """What a model takes of an image.

    A tag says it. For a file it is what all tags of its model say, or else OpenAI's way, as for open_clip itself.
    """
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    tags = [model.weights, *list_pretrained_tags_by_model(model.architecture)]
    said = [config for tag in tags if (config := get_pretrained_cfg(model.architecture, tag))]
    views = [
        View(
            Pixels(resolution, config["resize_mode"], config["interpolation"]),
            tuple(map(float, config["mean"])),
            tuple(map(float, config["std"])),
        )
        for config in said
    ]
    if views and (get_pretrained_cfg(model.architecture, model.weights) or len(set(views)) == 1):
        return views[0]
    return View(Pixels(resolution), PIXEL_MEAN, PIXEL_STD)
