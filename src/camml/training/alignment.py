"""Two linear maps that bring the texts and the images of an encoder without a shared space into one.

The towers stay as they are; what is learned takes seconds from the vectors that a datastore already holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from camml.durable import write_file
from camml.encoders import Vectors
from camml.errors import OptionError

TEMPERATURE = 0.1
"""Of the softmax over a batch."""

CHANGED_SHARE = 0.5
"""Share of the pictures drawn that are changed ones, where there are any."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The two maps.

    Attributes:
      image: float32[D, image width].  text: float32[D, text width].
    """

    image: Vectors
    text: Vectors


def align(
    images: Vectors,
    texts: Vectors,
    groups: Sequence[str],
    *,
    copies: Sequence[Vectors] = (),
    dim: int = 384,
    steps: int = 1500,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> Heads:
    """Return the maps under which samples of one group are near, picture to picture and picture to text.

    In every step each group of a batch gives two samples: the picture of the first is to find the picture and the text
    of the second among those of all groups, and the other way round.

    Args:
      images: float32[N, A], unit vectors.  texts: float32[N, B], likewise.
      groups: what each of the N samples is about.
      copies: float32[N, A] each, of the same pictures changed (see `augmentation`); in `CHANGED_SHARE` of the draws a
        picture is one of them, so that the maps learn what a change leaves as it is.
      dim: D, the width of the shared space.

    Raises:
      OptionError: there are fewer than two groups, or `dim` is more than the width of the images.

    Source: the loss of CLIP (Radford et al., 2021), between groups instead of pairs.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    if len(members) < 2:
        raise OptionError(f"aligning needs samples of two groups or more; there is {len(members)}")
    if dim > images.shape[1]:
        raise OptionError(f"dim is {dim}, but vectors of images have {images.shape[1]} numbers")
    pictures, words = torch.from_numpy(np.stack([images, *copies])), torch.from_numpy(texts)
    image_head, text_head = _start(pictures[0], dim), nn.Parameter(torch.zeros(dim, texts.shape[1]))
    optimizer = torch.optim.AdamW([image_head, text_head], lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    random = np.random.default_rng(seed)
    lists = list(members.values())
    for _ in range(steps):
        first, second = _draw(lists, batch_size, random)
        here, there = (
            normalize(pictures[_copy(len(part), len(copies), random), part] @ image_head.T, dim=1)
            for part in (first, second)
        )
        said = normalize(words[second] @ text_head.T + 1e-6, dim=1)
        loss = _contrast(here, there) + _contrast(here, said)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return Heads(image_head.detach().numpy(), text_head.detach().numpy())


def _start(pictures: Tensor, dim: int) -> nn.Parameter:
    """Return the principal directions of the pictures: near pictures start near."""
    _, _, directions = torch.linalg.svd(pictures[:20_000], full_matrices=False)
    start = torch.zeros(dim, pictures.shape[1])
    start[: len(directions[:dim])] = directions[:dim]
    return nn.Parameter(start)


def _draw(lists: Sequence[Sequence[int]], count: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return two samples of each of `count` groups, different ones where there are."""
    chosen = random.choice(len(lists), min(count, len(lists)), replace=False)
    pairs = [random.choice(lists[group], 2, replace=len(lists[group]) < 2) for group in chosen]
    first, second = torch.from_numpy(np.stack(pairs).T)
    return first, second


def _copy(count: int, copies: int, random: np.random.Generator) -> Tensor:
    """Return for `count` pictures which copy is taken, 0 for the picture as it is."""
    if not copies:
        return torch.zeros(count, dtype=torch.long)
    changed = random.random(count) < CHANGED_SHARE
    return torch.from_numpy(np.where(changed, random.integers(1, copies + 1, count), 0))


def _contrast(left: Tensor, right: Tensor) -> Tensor:
    """Return the loss of finding the counterpart among all, both ways, for float[B, D] twice."""
    scores = left @ right.T / TEMPERATURE
    wanted = torch.arange(len(left))
    return (cross_entropy(scores, wanted) + cross_entropy(scores.T, wanted)) / 2


def matrix(vectors: Sequence[Vectors]) -> Vectors:
    """Return float32[N, D] of N vectors float32[D].

    Raises:
      OptionError: there are none.
    """
    if not vectors:
        raise OptionError("the datastore has no samples with both image and text; aligning learns from such pairs")
    return np.stack(vectors).astype(np.float32)


def save(heads: Heads, path: Path) -> None:
    """Write the maps in 16 bits to a file that the encoder `mini` takes as `heads`; whole or not at all."""
    halves = {"image": heads.image.astype(np.float16), "text": heads.text.astype(np.float16)}
    write_file(path, safetensors.numpy.save(halves))
