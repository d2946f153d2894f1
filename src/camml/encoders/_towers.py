"""Shared code of neural encoders: device, batches, unit length, a fingerprint of the weights."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from camml.encoders import Vectors

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")

SAMPLES_PER_TENSOR = 64


def embed_in_batches(
    items: Sequence[Item], size: int, dim: int, embed: Callable[[list[Item]], "torch.Tensor"]
) -> Vectors:
    """Embed all `items`, `size` at a time, to float32[N, dim] with each row of length 1."""
    import torch

    vectors = np.empty((len(items), dim), np.float32)
    with torch.inference_mode():
        for start in range(0, len(items), size):
            batch = list(items[start : start + size])
            vectors[start : start + len(batch)] = embed(batch).float().cpu().numpy()
    return unit(vectors)


def unit(vectors: Vectors) -> Vectors:
    """Return `vectors` with each row scaled to length 1; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    return scaled


def fingerprint(tensors: Iterable["torch.Tensor"], facts: Any) -> str:
    """Return 16 hex digits that change with any tensor and any of the `facts` (JSON: preprocessing, pooling).

    Some numbers of every tensor are looked at, not all, which takes milliseconds and still tells any two trainings
    apart. Names are not looked at: another release of transformers may call the same tensor otherwise.
    """
    import torch

    parts = []
    for tensor in tensors:
        flat = tensor.detach().reshape(-1)
        places = torch.linspace(0, max(flat.numel() - 1, 0), min(SAMPLES_PER_TENSOR, flat.numel()), dtype=torch.float64)
        values = flat[places.long().to(flat.device)].float().cpu().numpy().astype("<f4")
        parts.append(hashlib.sha256(repr(tuple(tensor.shape)).encode() + values.tobytes()).hexdigest())
    text = json.dumps([sorted(parts), facts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
