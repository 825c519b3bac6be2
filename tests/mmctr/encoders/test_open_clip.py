"""Models of open_clip: what is unusable is said with what to do, nothing of a file is run, pixels are the model's."""

import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip_models import configure, save_weights
from project import PROJECT

from mmctr.common.errors import InputError
from mmctr.encoders.base import kind_of
from mmctr.encoders.names import parse_model
from mmctr.encoders.open_clip import load_open_clip
from mmctr.encoders.open_clip_weights import view_of
from mmctr.encoders.pixels import PIXEL_MEAN, PIXEL_STD, Pixels

pytest_plugins = ["clip_fixtures"]
pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = "ViT-tiny"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open_clip")
    configure(MODEL, folder)
    return save_weights(MODEL, folder / "tiny.pt")


def refused(file: Path, model: str = MODEL) -> str:
    with pytest.raises(InputError) as error:
        load_open_clip(parse_model(f"open_clip:{model}/{file}"), file=file, device="cpu")
    return str(error.value)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that reaches nothing, and has nothing in its caches."""

    def unreachable(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr("mmctr.encoders.open_clip_weights.getproxies", dict)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("open_clip:", "is written open_clip:MODEL/TAG or open_clip:MODEL/PATH"),
        ("open_clip:ViT-B-32", "such as open_clip:ViT-B-32/laion2b_s34b_b79k; found 'open_clip:ViT-B-32'"),
        ("open_clip:ViT-B-32/", "found 'open_clip:ViT-B-32/'"),
        ("open_clip:Vit-b-33/openai", "there is no 'Vit-b-33'; it knows ViT-B-16"),
        ("open_clip:hf-hub:someone/x/openai", "there is no 'hf-hub:someone'"),
        ("open_clip:local-dir:/etc/x", "is written|there is no 'local-dir:'"),
        (
            "open_clip:ViT-B-16/not_a_tag",
            r"must be a file or a tag that open_clip knows, openai, .*; 'not_a_tag' is ne",
        ),
        ("open_clip:ViT-B-32/openai", r"another one; use open_clip:ViT-B-32-quickgelu/openai"),
        ("open_clip:ViT-H-14-378-quickgelu/x\x1b[31m", "must be a file or a tag"),
        (
            "open_clip:roberta-ViT-B-32/laion2b_s12b_b32k",
            r"takes that of 'roberta-base' from .*\nUse a model such as",
        ),
        ("open_clip:" + "x" * 100_000 + "/y", "there is no 'xxx"),
    ],
)
def test_a_name_that_means_no_model(model: str, words: str, no_network: None) -> None:
    with pytest.raises(InputError, match=words) as error:
        kind_of(name := parse_model(model)).weights(name, download=True)
    assert len(str(error.value)) < 1500
    assert "\x1b" not in str(error.value)


def test_weights_that_are_not_here_say_what_to_download(no_network: None) -> None:
    name = parse_model("open_clip:ViT-B-16-SigLIP/webli")
    assert kind_of(name).weights(name, download=False) is None
    with pytest.raises(InputError) as error:
        kind_of(name).weights(name, download=True)
    for words in (
        "open_clip:ViT-B-16-SigLIP/webli must be here",
        "Name or service not known",
        "hf download timm/ViT-B-16-SigLIP open_clip_model.safetensors",
        '`model = "open_clip:ViT-B-16-SigLIP//path/to/open_clip_model.safetensors"`',
    ):
        assert words in str(error.value)


def test_weights_that_are_kept_need_no_network(
    no_network: None, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(weights))
    name = parse_model("open_clip:ViT-B-16-SigLIP/webli")
    assert kind_of(name).weights(name, download=True) == weights


def test_a_tokenizer_that_is_not_here_says_what_to_download(no_network: None, tmp_path: Path) -> None:
    configure("ViT-tiny-SigLIP", tmp_path)
    file = save_weights("ViT-tiny-SigLIP", tmp_path / "siglip.safetensors")
    for path in (tmp_path / "tokenizer").iterdir():
        path.unlink()
    message = refused(file, "ViT-tiny-SigLIP")
    assert "the tokenizer of ViT-tiny-SigLIP must be here" in message
    assert "run `hf download" in message


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['open_clip'] = None\n"
        "from mmctr.encoders.base import kind_of\nfrom mmctr.encoders.names import parse_model\n"
        "name = parse_model('open_clip:ViT-B-32/laion2b_s34b_b79k')\n"
        "try:\n    kind_of(name).weights(name, download=True)\nexcept Exception as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "Install them: pip install 'mmctr[open_clip]'" in ran.stdout


class Loud:
    """Code that a pickle would run."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return print, ("was run",)


def test_no_code_of_a_file_is_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": {"a": Loud()}}, tmp_path / "loud.pt")
    assert "other objects than plain tensors" in refused(tmp_path / "loud.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "program.pt")
    assert "it is a TorchScript program" in refused(tmp_path / "program.pt")
    np.savez(tmp_path / "arrays.npz", a=np.array([Loud()], dtype=object))
    assert "its name does not end in .safetensors" in refused(tmp_path / "arrays.npz")
    assert "was run" not in capfd.readouterr().out


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff" * 100, (1 << 62).to_bytes(8, "little") + b"{}"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_checkpoint(weights: Path, tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"x{suffix}").write_bytes(content)
    assert "is not, or is incomplete" in refused(tmp_path / f"x{suffix}")


def test_weights_of_another_model_are_refused(weights: Path, tmp_path: Path) -> None:
    configure("ResNet-tiny", tmp_path)
    assert "name the model that it belongs to" in refused(weights, "ResNet-tiny")


def test_weights_that_are_not_finite_are_refused(weights: Path, tmp_path: Path) -> None:
    broken = torch.load(weights, weights_only=True)
    broken["visual.proj"][0, 0] = torch.inf
    torch.save(broken, tmp_path / "broken.pt")
    assert "must be finite numbers, and 1 of the" in refused(tmp_path / "broken.pt")


def test_a_file_of_a_training_is_its_model(weights: Path, tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in torch.load(weights, weights_only=True).items()}
    torch.save({"epoch": 3, "name": "mine", "state_dict": state}, tmp_path / "epoch_3.pt")
    names = [parse_model(f"open_clip:{MODEL}/{path}") for path in (weights, tmp_path / "epoch_3.pt")]
    one, other = (load_open_clip(name, file=Path(name.weights), device="cpu") for name in names)
    np.testing.assert_array_equal(one.encode_titles(["a cat"]), other.encode_titles(["a cat"]))


def test_titles_are_those_of_the_package(weights: Path) -> None:
    """Tokens behind the end are left out, which changes nothing where each token sees those before it alone."""
    encoder = load_open_clip(parse_model(f"open_clip:{MODEL}/{weights}"), file=weights, device="cpu")
    titles = ["a cat", "", "two dogs on a hill, seen from afar", "word " * 99]
    whole = encoder.network.encode_text(open_clip.get_tokenizer(MODEL)(titles), normalize=True).detach().numpy()
    np.testing.assert_allclose(encoder.encode_titles(titles), whole, atol=2e-6)


def test_images_are_those_of_the_package(weights: Path) -> None:
    encoder = load_open_clip(parse_model(f"open_clip:{MODEL}/{weights}"), file=weights, device="cpu")
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    whole = encoder.network.encode_image((pixels / 255 - mean) / std, normalize=True).detach().numpy()
    np.testing.assert_allclose(encoder.encode_images(pixels), whole, atol=2e-6)


@pytest.mark.parametrize(
    ("model", "pixels", "mean"),
    [
        ("ViT-B-16-SigLIP/webli", Pixels(224, "squash", "bicubic"), 0.5),
        ("ViT-B-16-SigLIP//some/file.pt", Pixels(224, "squash", "bicubic"), 0.5),
        ("MobileCLIP-S1/datacompdr", Pixels(224, "shortest", "bilinear"), 0.0),
        ("ViT-B-32/laion2b_s34b_b79k", Pixels(224, "shortest", "bicubic"), PIXEL_MEAN[0]),
        ("ViT-L-14/laion2b_s32b_b82k", Pixels(224, "shortest", "bicubic"), 0.5),
        ("ViT-L-14//some/file.pt", Pixels(224, "shortest", "bicubic"), PIXEL_MEAN[0]),  # its tags differ
        ("ViT-B-16-plus//some/file.pt", Pixels(224, "shortest", "bicubic"), PIXEL_MEAN[0]),  # it has no tags
    ],
)
def test_a_tag_says_how_pixels_are_read(model: str, pixels: Pixels, mean: float) -> None:
    view = view_of(parse_model(f"open_clip:{model}"), resolution=224)
    assert (view.pixels, view.mean[0]) == (pixels, mean)
