"""The encoder equals CLIP's own encoding, and every unusable model is refused with what to do about it."""

import hashlib
import io
import os
import urllib.error
import urllib.request
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import picture, save_tiny_clip, tiny_network

from mmctr.common.errors import InputError
from mmctr.encoders.clip import ClipEncoder, clip_width, load_clip
from mmctr.encoders.clip_official import clip
from mmctr.encoders.pixels import Pixels
from mmctr.images.preprocess import View, preprocess_image

pytest_plugins = ["clip_fixtures"]
pytestmark = pytest.mark.usefixtures("one_thread")

TITLES = [
    "a cat",
    "",
    "Ten easy ways to cook rice at home, and what to do when it burns \U0001f35a",
    "\x00\x01\x1b[31m red",
    "word " * 300,
    "<|endoftext|> hidden behind an end token",
    "标题党",
]


def unit_rows(encoded: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(encoded, dim=1).numpy()


def test_the_encoder_tells_its_sizes(encoder: ClipEncoder) -> None:
    assert (encoder.embed_dim, encoder.pixels.resolution, encoder.device) == (128, 32, torch.device("cpu"))


def test_titles_equal_clips_own_encoding_of_77_tokens(encoder: ClipEncoder) -> None:
    with torch.inference_mode():
        expected = unit_rows(encoder.network.encode_text(clip.tokenize(TITLES, truncate=True)))
    found = encoder.encode_titles(TITLES, token_batch=100)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(np.unique(found.round(3), axis=0)) == len(TITLES) - 1  # to CLIP a text ends where its end token stands


@pytest.mark.parametrize("token_batch", [1, 100, 4096])
def test_titles_of_a_step_have_about_one_length(
    encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch, token_batch: int
) -> None:
    """So at most a tenth and a token of each title is padding, and a step has no more tokens than it may."""
    tower, seen = encoder._text_tower, []

    def encode(tokens: torch.Tensor) -> torch.Tensor:
        seen.append((tokens.shape, tokens.argmax(dim=1) + 1))
        return tower(tokens)

    titles = [" ".join(["cat"] * (number % 60)) for number in range(200)]
    expected = encoder.encode_titles(titles)
    monkeypatch.setitem(encoder.__dict__, "_text_tower", encode)
    np.testing.assert_allclose(encoder.encode_titles(titles, token_batch=token_batch), expected, atol=1e-5)
    assert sum(count for (count, _), _ in seen) == len(titles)
    for (count, longest), lengths in seen:
        assert longest == lengths.max() <= 1.1 * lengths.min() + 1
        assert count == 1 or count * longest <= token_batch


def test_titles_come_back_in_the_order_given(encoder: ClipEncoder) -> None:
    order = [4, 2, 6, 0, 1, 3, 5]
    shuffled = encoder.encode_titles([TITLES[row] for row in order])
    np.testing.assert_allclose(shuffled, encoder.encode_titles(TITLES)[order], atol=1e-5)


def test_images_equal_clips_own_preprocessing_and_encoding(encoder: ClipEncoder) -> None:
    images = [picture(seed) for seed in range(3)]
    transform = clip.clip._transform(32)
    with torch.inference_mode():
        expected = unit_rows(encoder.network.encode_image(torch.stack([transform(image) for image in images])))
    pixels = torch.stack([torch.from_numpy(preprocess_image(png(image), View(32))) for image in images])
    np.testing.assert_allclose(encoder.encode_images(pixels), expected, atol=3e-3)  # a pixel may differ by 1/255
    exact = torch.stack([transform(image) for image in images])
    levels = exact * torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    levels += torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    same_pixels = (levels * 255).round().to(torch.uint8)
    np.testing.assert_allclose(encoder.encode_images(same_pixels), expected, atol=1e-5)


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_nothing_in_nothing_out(encoder: ClipEncoder) -> None:
    assert encoder.encode_titles([]).shape == (0, 128)
    assert encoder.encode_images(torch.empty(0, 3, 32, 32, dtype=torch.uint8)).shape == (0, 128)


def test_rows_without_a_direction_are_nan() -> None:
    network = tiny_network()
    with torch.no_grad():
        network.text_projection.zero_()
        network.visual.proj[0, 0] = torch.inf
    broken = ClipEncoder(network, embed_dim=128, pixels=Pixels(32), device=torch.device("cpu"))
    assert np.isnan(broken.encode_titles(["a", "b"])).all()
    assert np.isnan(broken.encode_images(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))).all()


def test_half_precision_weights_give_nearly_the_same_vectors(
    encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `clip.load` gives on a GPU, tried on the CPU; titles are trimmed to the longest of each step."""
    half = replace(encoder, network=clip.model.build_model(tiny_network().state_dict()))
    assert half.network.dtype == torch.float16
    encode_text, widths = half.network.encode_text, []

    def noted(tokens: torch.Tensor) -> torch.Tensor:
        widths.append(tokens.shape[1])
        return encode_text(tokens)

    monkeypatch.setattr(half.network, "encode_text", noted)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8))
    for found, expected in (
        (half.encode_titles(TITLES, token_batch=1), encoder.encode_titles(TITLES)),
        (half.encode_images(pixels), encoder.encode_images(pixels)),
    ):
        assert found.dtype == np.float32
        assert ((found * expected).sum(axis=1) > 0.9999).all()
    assert widths == sorted(clip.tokenize(TITLES, truncate=True).argmax(dim=1) + 1)
    assert len(set(widths)) > 4


def test_a_residual_network_is_a_clip_too(tmp_path: Path) -> None:
    network = clip.model.CLIP(128, 32, (1, 1, 1, 1), 2, None, 77, 49408, 64, 1, 1)
    torch.save(network.state_dict(), tmp_path / "resnet.pt")
    assert load_clip(str(tmp_path / "resnet.pt"), device="cpu").pixels.resolution == 32


def save_script(path: Path, **sizes: int) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(tiny_network(**sizes), (torch.zeros(1, 3, 32, 32), clip.tokenize(["a"])))
        torch.jit.save(traced, path)
    return path


def test_a_torchscript_checkpoint_gives_the_same_vectors(tmp_path: Path, encoder: ClipEncoder) -> None:
    script = save_script(tmp_path / "script.pt")
    again = load_clip(str(script), device="cpu", allow_torchscript=True)
    np.testing.assert_array_equal(again.encode_titles(TITLES), encoder.encode_titles(TITLES))


def refused(model: object, *, device: str = "cpu") -> str:
    with pytest.raises(InputError) as error:
        load_clip(str(model), device=device)
    message = str(error.value)
    assert len(message.splitlines()) <= 4
    return message


def test_an_unknown_name_is_refused_with_the_names() -> None:
    message = refused("ViT-B/31")
    assert "'ViT-B/31' is neither" in message
    assert "ViT-B/32" in message


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "is neither" in refused(tmp_path / "absent.pt")
    assert "is neither" in refused(tmp_path)


@pytest.mark.parametrize("cut", [0, 3, 1000, 100_000])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, checkpoint: Path, cut: int) -> None:
    (tmp_path / "cut.pt").write_bytes(checkpoint.read_bytes()[:cut])
    assert "is not, or is incomplete" in refused(tmp_path / "cut.pt")


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    other = {"layer.weight": torch.zeros(2, 2)}
    for content in (other, [1, 2], torch.zeros(3), {}):
        torch.save(content, tmp_path / "other.pt")
        assert "state_dict of OpenAI's CLIP" in refused(tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("<html>Not found</html>")
    assert "Fetch the file again" in refused(tmp_path / "text.pt")


def test_a_state_dict_with_a_weight_of_another_shape_is_refused(tmp_path: Path) -> None:
    weights = tiny_network().state_dict()
    weights["visual.proj"] = torch.zeros(64, 64)
    torch.save(weights, tmp_path / "other.pt")
    assert "RuntimeError" in refused(tmp_path / "other.pt")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, zipped: bool) -> None:
    sprung = tmp_path / "sprung"
    content = {"visual.proj": Trap(sprung)}
    torch.save(content, tmp_path / "trap.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match="no other objects"):
        clip_width(str(tmp_path / "trap.pt"))
    assert "no other objects" in refused(tmp_path / "trap.pt")
    assert not sprung.exists()


def test_the_width_is_told_without_building_the_network(tmp_path: Path) -> None:
    assert clip_width(str(save_tiny_clip(tmp_path / "short.pt", embed_dim=64))) == 64
    assert clip_width(str(save_script(tmp_path / "script.pt", embed_dim=96)), allow_torchscript=True) == 96
    for name in ("absent.pt", "."):
        assert clip_width(str(tmp_path / name)) is None
    (tmp_path / "none.pt").write_bytes(b"none")
    torch.save({"layer.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    for name in ("none.pt", "other.pt"):  # long before the images are unpacked
        with pytest.raises(InputError, match="is not, or is incomplete"):
            clip_width(str(tmp_path / name))


class Loud(torch.nn.Module):
    """Its TorchScript prints when it is loaded."""

    @torch.jit.export
    def __getstate__(self) -> int:
        return 1

    @torch.jit.export
    def __setstate__(self, state: int) -> None:
        print("the program was run")


def test_torchscript_is_a_program_and_runs_only_when_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    script = save_script(tmp_path / "script.pt")
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    assert f"has the sha256 {digest}, which is none of theirs" in refused(script)
    with pytest.raises(InputError, match="allow_torchscript=True` if you trust"):
        clip_width(str(script))
    assert load_clip(str(script), device="cpu", allow_torchscript=True).embed_dim == 128
    monkeypatch.setitem(clip.clip._MODELS, "ViT-B/32", f"https://models.example/clip/{digest}/ViT-B-32.pt")
    assert load_clip(str(script), device="cpu").embed_dim == 128
    assert clip_width(str(script)) == 128

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Loud()), tmp_path / "loud.pt")
    capfd.readouterr()
    refused(tmp_path / "loud.pt")
    assert "was run" not in capfd.readouterr().out
    with pytest.raises(InputError, match="is not, or is incomplete"):
        load_clip(str(tmp_path / "loud.pt"), device="cpu", allow_torchscript=True)
    assert "was run" in capfd.readouterr().out


def test_a_program_that_hides_is_not_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Under other names, or behind other bytes, it is no program to PyTorch either, or it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Loud()), tmp_path / "loud.pt")
    capfd.readouterr()
    content = (tmp_path / "loud.pt").read_bytes()
    for disguise in (b"#" * 512 + content, content + b"#" * 512, content.replace(b"constants.pkl", b"constants.pkk")):
        (tmp_path / "hidden.pt").write_bytes(disguise)
        refused(tmp_path / "hidden.pt")
        assert "was run" not in capfd.readouterr().out


def test_a_checkpoint_that_changes_after_it_was_hashed_is_refused(checkpoint: Path) -> None:
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert load_clip(str(checkpoint), device="cpu", sha256=digest).embed_dim == 128
    with pytest.raises(InputError, match=rf"had the sha256 {'0' * 64} and now has {digest}"):
        load_clip(str(checkpoint), device="cpu", sha256="0" * 64)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
@pytest.mark.parametrize("name", ["visual.proj", "token_embedding.weight", "logit_scale"])
def test_weights_that_are_not_finite_are_said_before_anything_is_read(tmp_path: Path, name: str, value: float) -> None:
    weights = tiny_network().state_dict()
    weights[name] = weights[name].clone()
    weights[name].view(-1)[0] = value
    torch.save(weights, tmp_path / "nan.pt")
    message = refused(tmp_path / "nan.pt")
    assert "must be finite numbers of half precision" in message
    assert f"1 of the {weights[name].numel()} in '{name}' of" in message
    with pytest.raises(InputError, match="must be finite"):
        clip_width(str(tmp_path / "nan.pt"))


def huge(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return weights | {"visual.conv1.weight": torch.zeros(1).expand(1_000_000, 3, 16, 16)}


HOSTILE_WEIGHTS = {
    "expanded tensors": (huge, "is no plain tensor"),
    "meta tensors": (lambda w: w | {"visual.proj": w["visual.proj"].to("meta")}, "is no plain tensor"),
    "sparse tensors": (lambda w: w | {"visual.proj": w["visual.proj"].to_sparse()}, "is no plain tensor"),
    "a long context": (lambda w: w | {"positional_embedding": torch.zeros(300_000, 64)}, "more than 1024"),
    "tensors that share their numbers": (
        lambda w: w | {f"copy {n}": w["token_embedding.weight"] for n in range(99)},
        "its tensors have",
    ),
    "complex tensors": (lambda w: w | {"visual.proj": w["visual.proj"].to(torch.complex64)}, "is no plain tensor"),
    "a number": (lambda w: w | {"visual.proj": 1}, "no tensor"),
    "a number as a name": (lambda w: w | {1: w["visual.proj"]}, "it holds"),
    "a layer of another width": (lambda w: w | {"ln_final.weight": torch.zeros(10_000_000)}, "or is incomplete"),
}


@pytest.mark.parametrize("name", HOSTILE_WEIGHTS)
def test_weights_that_ask_for_more_than_there_is_are_refused(tmp_path: Path, name: str) -> None:
    change, words = HOSTILE_WEIGHTS[name]
    torch.save(change(tiny_network().state_dict()), tmp_path / "hostile.pt")
    message = refused(tmp_path / "hostile.pt")
    assert words in message
    assert len(message) < 1500


class Room:
    """A few bytes of a pickle that ask for terabytes."""

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return bytearray, (1 << 46,)


@pytest.mark.parametrize("zipped", [True, False])
def test_room_that_a_checkpoint_asks_for_is_not_made(tmp_path: Path, zipped: bool) -> None:
    torch.save({"a": Room()}, tmp_path / "room.pt", _use_new_zipfile_serialization=zipped)
    assert "asks for room that it does not fill" in refused(tmp_path / "room.pt")


def test_a_checkpoint_that_is_packed_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    with zipfile.ZipFile(checkpoint) as plain, zipfile.ZipFile(tmp_path / "packed.pt", "w") as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name), zipfile.ZIP_DEFLATED if name.endswith(".pkl") else None)
        packed.writestr(f"{name.partition('/')[0]}/padding", bytes(1 << 20))
    assert "it is compressed" in refused(tmp_path / "packed.pt")


def test_a_flipped_bit_in_a_checkpoint_is_found(tmp_path: Path, checkpoint: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.pt").write_bytes(content)
    assert "does not have its checksum" in refused(tmp_path / "flipped.pt")


def test_a_foreign_vocabulary_is_refused(tmp_path: Path) -> None:
    assert "has 1000" in refused(save_tiny_clip(tmp_path / "foreign.pt", vocabulary=1000))


def test_int8_is_refused_where_it_does_not_exist(tmp_path: Path, checkpoint: Path) -> None:
    network = clip.model.CLIP(128, 32, (1, 1, 1, 1), 2, None, 77, 49408, 64, 1, 1)
    torch.save(network.state_dict(), tmp_path / "resnet.pt")
    assert load_clip(str(checkpoint), device="cpu", image_precision="int8").image_precision == "int8"
    with pytest.raises(InputError, match=r"`image_precision = int8` is for vision transformers on the CPU; .*\nUse"):
        load_clip(str(tmp_path / "resnet.pt"), device="cpu", image_precision="int8")


def test_an_absent_device_is_refused(checkpoint: Path) -> None:
    assert "'abacus'" in refused(checkpoint, device="abacus")
    if not torch.cuda.is_available():
        assert "Use 'cpu'" in refused(checkpoint, device="cuda")


@pytest.fixture
def official(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """An official name whose weights are the tiny checkpoint, on a machine with no network and an empty home."""

    def no_network(url: str) -> None:
        raise urllib.error.URLError("Temporary failure in name resolution")

    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    monkeypatch.setitem(clip.clip._MODELS, "ViT-B/32", f"https://models.example/clip/{digest}/ViT-B-32.pt")
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".cache" / "clip" / "ViT-B-32.pt", digest


def test_cached_official_weights_need_no_network(official: tuple[Path, str], checkpoint: Path) -> None:
    place, _ = official
    place.parent.mkdir(parents=True)
    assert clip_width("ViT-B/32") is None
    place.write_bytes(checkpoint.read_bytes())
    assert clip_width("ViT-B/32") == 128
    assert load_clip("ViT-B/32", device="cpu").embed_dim == 128


def test_absent_official_weights_say_what_to_download(official: tuple[Path, str]) -> None:
    place, digest = official
    message = refused("ViT-B/32")
    for part in (
        str(place),
        f"https://models.example/clip/{digest}/ViT-B-32.pt",
        f"sha256 is {digest}",
        "are not there",
    ):
        assert part in message


def test_official_weights_with_a_wrong_hash_are_refused(official: tuple[Path, str]) -> None:
    place, digest = official
    place.parent.mkdir(parents=True)
    place.write_bytes(b"half")
    message = refused("ViT-B/32")
    assert f"wrong sha256 {hashlib.sha256(b'half').hexdigest()}" in message
    assert digest in message
    assert place.read_bytes() == b"half"
