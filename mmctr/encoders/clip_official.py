"""The models that OpenAI publishes: their names, their weights' digests, and where clip keeps the weights."""

import warnings
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.common.files import file_sha256
from mmctr.common.text import first_line

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)  # clip imports it for one comparison
    import clip as clip  # every module takes it from here, without the warning


def official_models() -> list[str]:
    """Names of models; other models are paths of checkpoints."""
    return list(clip.available_models())


def official_sha256(model: str) -> str | None:
    """SHA-256 of an official model's weights, as OpenAI publishes them; None for other names."""
    return str(clip.clip._MODELS[model].split("/")[-2]) if model in clip.available_models() else None


def downloaded_weights(model: str) -> Path:
    """Where the official weights are, after clip has downloaded them where they are missing or damaged."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)  # clip hashes the file without closing
            warnings.filterwarnings("ignore", ".*SHA256 checksum does not match", UserWarning)  # it downloads again
            path = official_path(model)
            clip.clip._download(clip.clip._MODELS[model], str(path.parent))
    except Exception as error:
        raise InputError(_missing_weights(model, error)) from error
    return path


def official_digests() -> set[str]:
    """SHA-256 of all of them."""
    return {str(official_sha256(model)) for model in clip.available_models()}


def official_path(model: str) -> Path:
    """Where clip keeps the official weights."""
    return Path("~/.cache/clip").expanduser() / str(clip.clip._MODELS[model].split("/")[-1])


def _missing_weights(model: str, error: Exception) -> str:
    """What to do by hand when clip could not get the official weights."""
    url = clip.clip._MODELS[model]
    sha256, path = official_sha256(model), official_path(model)
    state = "are not there"
    if path.is_file():
        found = file_sha256(path)
        state = "are damaged" if found == sha256 else f"have the wrong sha256 {found}"
    return (
        f"The weights of CLIP {model} must be at {path}; they {state}, and getting them failed "
        f"({type(error).__name__}: {first_line(error)}).\n"
        f"Download {url}\nto that path; its sha256 is {sha256}. Or use the path of a local checkpoint."
    )
