"""Small models of open_clip with random weights, each of a family that differs in its towers, tokenizer or pixels."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "ViT-tiny": {
        "embed_dim": 48,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16},
        "text_cfg": TEXT,
    },
    "ResNet-tiny": {
        "embed_dim": 48,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": TEXT,
    },
    "MobileCLIP-tiny": {
        "embed_dim": 48,
        "vision_cfg": {
            "timm_model_name": "fastvit_t8",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": 64,
        },
        "text_cfg": {**TEXT, "no_causal_mask": True},
        "custom_text": True,
    },
    "ViT-tiny-SigLIP": {
        "embed_dim": 192,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 224,
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_model_pretrained": False,
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            **TEXT,
            "vocab_size": 300,
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
        },
    },
}


def configure(family: str, folder: Path) -> str:
    """Let open_clip know the model; returns its name."""
    config = json.loads(json.dumps(FAMILIES[family]))
    if "SigLIP" in family:
        config["text_cfg"]["hf_tokenizer_name"] = str(byte_tokenizer(folder / "tokenizer"))
    path = folder / f"{family}.json"
    path.write_text(json.dumps(config))
    open_clip.add_model_config(path)
    return family


def save_weights(family: str, path: Path, *, seed: int = 0) -> Path:
    """Write the state_dict of a random model to `path`, by its ending as safetensors or as PyTorch does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights = open_clip.create_model(family, pretrained_text=False).state_dict()
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    else:
        torch.save(weights, path)
    return path


def byte_tokenizer(folder: Path) -> Path:
    """A tokenizer of the kind that SigLIP has, whose tokens are bytes; 1 ends a title and pads it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<unk>": 0, "</s>": 1, **{letter: number for number, letter in enumerate(letters, 2)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", pad_token="</s>"
    ).save_pretrained(folder)
    return folder
