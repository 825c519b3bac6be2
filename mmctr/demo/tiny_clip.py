"""A small CLIP of the real architecture, trained on the demo world's own title-cover pairs.

`clip.load` accepts its checkpoint, so the pipeline runs as it does with OpenAI's weights.
Source of the loss: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision",
section 2.3.

Shapes: B pairs in a batch, T tokens of the longest title, S image side, E embedding dimension.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from mmctr.common.progress import progress_bar
from mmctr.encoders.clip_official import clip
from mmctr.encoders.pixels import PIXEL_MEAN, PIXEL_STD

IMAGE_SIDE = 32
EMBED_DIM = 256
BATCH = 64
EPOCHS = 9
LONGEST = 32  # tokens of a title to train on: the rare longer ones would slow every batch they are in
LEARNING_RATE = 1e-3


def new_model() -> "clip.model.CLIP":
    """An untrained CLIP of about 4 M parameters, most of them the token embedding; from torch's global generator."""
    return clip.model.CLIP(
        embed_dim=EMBED_DIM,
        image_resolution=IMAGE_SIDE,
        vision_layers=2,
        vision_width=64,
        vision_patch_size=8,
        context_length=77,
        vocab_size=49408,
        transformer_width=64,
        transformer_heads=1,  # clip.load expects one head for each 64 of the width
        transformer_layers=2,
    )


def train_tiny_clip(
    path: Path, *, titles: Sequence[str], images: np.ndarray, seed: int, progress: bool | None = None
) -> None:
    """Train on pairs (title i, image i) and write the state_dict to `path`.

    `images`: uint8 (pairs, S, S, 3) with S = IMAGE_SIDE. The same seed makes the same bytes on the same machine.
    Runs on the CPU and leaves torch's global generator as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_model()
    tokens = clip.tokenize(list(titles), truncate=True)  # (pairs, 77)
    short = (tokens.argmax(dim=1) < LONGEST).numpy()
    tokens, images = tokens[short], images[short]
    vocabulary, tokens = torch.unique(tokens, return_inverse=True)  # order kept: end-of-text stays the largest
    table = model.token_embedding
    model.token_embedding = torch.nn.Embedding.from_pretrained(table.weight.detach()[vocabulary], freeze=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small gain little from more, and lose tenfold where cores are shared
    try:
        _fit(model, tokens=tokens, images=images, seed=seed, progress=progress)
    finally:
        torch.set_num_threads(threads)
    with torch.no_grad():  # only the rows of tokens that occur were trained; the others keep their first values
        table.weight[vocabulary] = model.token_embedding.weight
    model.token_embedding = table
    torch.save({name: value.contiguous() for name, value in model.state_dict().items()}, path)


def _fit(
    model: "clip.model.CLIP", *, tokens: torch.Tensor, images: np.ndarray, seed: int, progress: bool | None
) -> None:
    """AdamW on the symmetric contrastive loss; the learning rate is warmed up and then let down."""
    steps = EPOCHS * len(tokens) // BATCH
    mean, std = torch.tensor(PIXEL_MEAN).view(3, 1, 1), torch.tensor(PIXEL_STD).view(3, 1, 1)
    lengths = tokens.argmax(dim=1) + 1
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    model.train()
    order = torch.empty(0, dtype=torch.long)
    for _ in progress_bar("tiny CLIP", over=range(steps), unit="step", show=progress):
        if len(order) < min(BATCH, len(tokens)):
            order = torch.randperm(len(tokens), generator=generator)
        batch, order = order[:BATCH], order[BATCH:]
        pixels = torch.from_numpy(images[batch.numpy()]).permute(0, 3, 1, 2).float() / 255  # (B, 3, S, S)
        loss = contrastive_loss(model, pixels=(pixels - mean) / std, tokens=tokens[batch, : int(lengths[batch].max())])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():  # the paper caps the scale at 100
            model.logit_scale.clamp_(max=float(np.log(100)))


def contrastive_loss(model: "clip.model.CLIP", *, pixels: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The mean of the two cross entropies: each image among the titles, each title among the images. Scalar.

    `pixels`: float32 (B, 3, S, S); `tokens`: int64 (B, T), T <= 77: attention is causal, so what follows the longest
    title of the batch changes nothing.
    """
    image = F.normalize(model.encode_image(pixels), dim=-1)  # (B, E)
    text = F.normalize(model.encode_text(tokens), dim=-1)  # (B, E)
    logits = model.logit_scale.exp() * image @ text.T  # (B, B)
    pairs = torch.arange(len(logits))
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2
