"""Trains the demonstration model `tiny`, a CLIP of OpenAI's architecture, on the demonstration world, on CPU cores.

    python -m clipreel.sample.train

Settled once: another `tiny.safetensors` would stale every stored feature made with this one.
"""

from __future__ import annotations

import argparse
import logging
import math
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from clip import tokenize
from clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from .caption import EMPTY_CAPTION, Description, all_descriptions
from .example import IMAGE_SIZE, TRAINING_SEEDS, Example, held_out_descriptions, training_example
from .scene import COLOURS, FORMS, PLACES, SIZES

CHECKPOINT = Path(__file__).with_name("tiny.safetensors")
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
MAX_LOGIT_SCALE = 100.0
# The longest caption has 9 tokens. Attention looks back only, so cutting the padding off changes nothing but the time.
CAPTION_TOKENS = 12

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast; the defaults made the repository's checkpoint."""

    examples: int = 24_000
    steps: int = 2_500
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    full_caption_share: float = 0.5  # of the images; the others get a caption that leaves factors unsaid
    seed: int = 0


def tiny_network() -> CLIP:
    """The untrained network, 4.7 M parameters: a ModifiedResNet tower (so small a ViT does not learn the shapes)."""
    return CLIP(
        embed_dim=64, image_resolution=IMAGE_SIZE, vision_layers=(1, 1, 1, 1), vision_width=16,
        vision_patch_size=0,  # a ResNet has none
        context_length=77, vocab_size=49408, transformer_width=64, transformer_heads=1, transformer_layers=3,
    )


def normalise(frames: Tensor) -> Tensor:
    """uint8 RGB [n, 3, S, S] to what the visual tower takes: float32 [n, 3, S, S] with OpenAI's mean and deviation."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (OPENAI_MEAN, OPENAI_STD))
    return (frames.float() / 255 - mean) / std


def factor_codes(descriptions: Sequence[Description | None]) -> Tensor:
    """Whether there is a shape, its colour, shape, size and place as numbers, -1 where unsaid or unclear: [n, 5]."""
    rows = [
        [0, -1, -1, -1, -1] if description is None else
        [1, *(-1 if value is None else values.index(value) for value, values in
              zip(astuple(description), (COLOURS, FORMS, SIZES, PLACES), strict=True))]
        for description in descriptions
    ]
    return torch.tensor(rows)


def truth(seen: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
    """Which captions are true of which images, and which are false: two bool [n, m]; the unclear ones are neither.

    Args:
        seen: factor codes of what the images show [n, 5]
        said: factor codes of the captions [m, 5]
    """
    asked = said[None] >= 0
    known = seen[:, None] >= 0
    false = (asked & known & (seen[:, None] != said[None])).any(-1)
    unclear = (asked & ~known).any(-1)
    return ~false & ~unclear, false


def contrastive_loss(logits: Tensor, true: Tensor, false: Tensor) -> Tensor:
    """CLIP's loss where an image has several true captions and a caption several images; unclear pairs do not count."""
    counted = logits.masked_fill(~(true | false), -1e4)
    losses = []
    for direction in (1, 0):
        share = true / true.sum(direction, keepdim=True).clamp(min=1)
        losses.append(-(share * counted.log_softmax(direction)).sum() / share.sum())
    return torch.stack(losses).mean()


def draw_examples(count: int) -> list[Example]:
    """The first `count` training examples, drawn on all cores."""
    # Spawned, not forked: the parent holds torch's threads.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(training_example, TRAINING_SEEDS[:count], chunksize=100))


def train(plan: TrainingPlan) -> CLIP:
    """The trained network in evaluation mode, float32."""
    torch.manual_seed(plan.seed)
    started = time.perf_counter()
    examples = draw_examples(plan.examples)
    frames = torch.from_numpy(np.stack([example.frame for example in examples])).permute(0, 3, 1, 2).contiguous()
    seen = factor_codes([example.seen for example in examples])
    logger.info("%d examples drawn in %.0f s", len(examples), time.perf_counter() - started)

    # Channels last and the fused optimizer take a third off a step on a CPU.
    network = tiny_network().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.learning_rate, plan.steps, pct_start=0.1)
    captions = CaptionSampler(plan.full_caption_share)
    for step, rows in enumerate(_batches(len(examples), plan.batch_size, plan.steps)):
        tokens, said = captions.sample(seen[rows])
        images = _vary(normalise(frames[rows])).contiguous(memory_format=torch.channels_last)
        loss = _loss(network, images, seen[rows], tokens, said)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            network.logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
        if (step + 1) % 100 == 0:
            logger.info("step %d of %d: loss %.4f, logit scale %.1f, %.0f s", step + 1, plan.steps, loss.item(),
                        network.logit_scale.exp().item(), time.perf_counter() - started)
    return network.eval()


class CaptionSampler:
    """Picks one caption for each image of a batch, full or with factors left unsaid; never a held-out combination."""

    def __init__(self, full_share: float):
        self.full_share = full_share
        held_out = set(held_out_descriptions())
        descriptions = [description for description in all_descriptions() if description not in held_out]
        texts = [EMPTY_CAPTION, *(description.caption for description in descriptions)]
        self.tokens = tokenize(texts)[:, :CAPTION_TOKENS].long()  # [captions, CAPTION_TOKENS]
        self.codes = factor_codes([None, *descriptions])  # [captions, 5]
        self.said = (self.codes >= 0).sum(1)  # how many factors each caption says [captions]

    def sample(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The batch's distinct captions: tokens [m, CAPTION_TOKENS] and factor codes [m, 5]."""
        true, _ = truth(seen, self.codes)
        fullest = true & (self.said == (true * self.said).amax(1, keepdim=True))
        wanted = torch.where(torch.rand(len(seen), 1) < self.full_share, fullest, true)
        picked = torch.multinomial(wanted.float(), 1).flatten().unique()
        return self.tokens[picked], self.codes[picked]


def _loss(network: CLIP, images: Tensor, seen: Tensor, tokens: Tensor, said: Tensor) -> Tensor:
    image_features = functional.normalize(network.encode_image(images), dim=-1)
    text_features = functional.normalize(network.encode_text(tokens), dim=-1)
    logits = network.logit_scale.exp() * image_features @ text_features.T
    return contrastive_loss(logits, *truth(seen, said))


def _vary(images: Tensor) -> Tensor:
    """Exposure, contrast and a little noise, anew each time that an example comes up."""
    gain = 1 + 0.1 * torch.randn(len(images), 1, 1, 1)
    offset = 0.1 * torch.randn(len(images), 1, 1, 1)
    return images * gain + offset + 0.03 * torch.randn_like(images)


def _batches(count: int, batch_size: int, steps: int) -> Iterator[Tensor]:
    """`steps` batches of row numbers, shuffled anew whenever the rows are used up."""
    rows = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(rows) < batch_size:
            rows = torch.randperm(count)
        yield rows[:batch_size]
        rows = rows[batch_size:]


def save_checkpoint(network: nn.Module, path: Path) -> None:
    """The state dict under OpenAI's own keys, floating-point tensors as float16."""
    tensors = {
        key: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for key, tensor in network.state_dict().items()
    }
    description = "clipreel's demonstration model, trained on drawn shapes only"
    save_file(tensors, path, metadata={"format": "pt", "description": description})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m clipreel.sample.train", description=__doc__)
    parser.add_argument("--output", type=Path, default=CHECKPOINT, help="where the checkpoint goes")
    parser.add_argument("--steps", type=int, default=TrainingPlan.steps)
    parser.add_argument("--examples", type=int, default=TrainingPlan.examples)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)  # now, not after minutes of training
    save_checkpoint(train(TrainingPlan(examples=arguments.examples, steps=arguments.steps)), arguments.output)


if __name__ == "__main__":
    main()
