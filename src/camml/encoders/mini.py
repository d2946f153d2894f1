"""The small default, free to use and quick on a CPU: DINOv2-small for images, MiniLM for texts.

Texts and images live in spaces of their own: an image finds images, a text finds texts. With `heads`, two linear maps
learned by `camml align`, a text is moved to the space of images to find one. Texts keep their own space to find texts,
since the maps know pictures better than words: of texts about a thing that is named the first found is right for 95 to
100 % in it and for 69 to 75 % among the mapped ones (benchmarks/retrieval.py).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from camml import weights
from camml.devices import choose_device, choose_dtype
from camml.encoders import Patches, Vectors, _towers
from camml.errors import ModelFolderError, OptionError, first_line
from camml.images import each_image
from camml.sizes import check_batch_size
from camml.tokens import text_of

if TYPE_CHECKING:
    import torch

SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAIN_SHARE = 0.75
"""Share of the plain vector in a stored image's, beside the mapped one. The shares for a query are chosen when it is
asked (`balance`), so that maps do no harm to pictures unlike those that they were learned from: see
docs/retrieval.md.
"""
FEWEST = 8
"""Stored images that tell how far cosines spread; among fewer the parts count as they are stored."""
MAX_TOKENS = 256
"""Source: `max_seq_length` of all-MiniLM-L6-v2."""

SHARPNESS = 20
"""Factor of a patch's cosine with the CLS token in the softmax that weights patches: the ground behind a thing counts
little. Chosen among 5, 10 and 20 on changed pictures of OwnPix's validation things: docs/retrieval.md.
"""

PATCHES = 64
"""Patches of an image, of 256, that are compared with those of others: those most like the CLS token. Chosen among 16,
32, 64, 128 and all on OwnPix's validation things: docs/retrieval.md.
"""

PATCH_SHARE = 0.75
"""Share of patches in the likeness of two images as far as their plain vectors make it: patches know no places, so they
count little where the maps know the pictures well. Chosen among 0.67, 0.75 and 0.8 on OwnPix's validation things and
FactPix's validation classes: docs/retrieval.md.
"""

PASSAGE_SHARE = 0.5
"""Share of a text's nearest passage in its likeness to the words of a question; the whole text has the rest. Chosen
among 0, 0.2 to 0.8 in tenths, and 1 on two files of strangers' texts: docs/retrieval.md.
"""

PREPARATION = {"resize": "squash bicubic", "pool": "cls+weighted", "max_tokens": MAX_TOKENS, "version": 2}


class MiniEncoder:
    """An `Encoder` of two towers that know nothing of each other, unless heads bring them together.

    Args:
      grid: cells a side whose mean patches the vector of an image has too; 0 for none.
      heads: `image` float32[D, W], W the width of images without heads, and `text` float32[D, 384]; empty for none.
      patches: of each image that are compared with those of others; 0 for none.
      passage_share: that of the nearest passage in the likeness of a text to a question; 0 for none.
    """

    name = "mini"

    def __init__(
        self,
        vision: Any,
        text: Any,
        tokenizer: Any,
        device: "torch.device",
        dtype: "torch.dtype",
        batch_size: int,
        side: int = SIDE,
        grid: int = 0,
        heads: "Mapping[str, torch.Tensor] | None" = None,
        patches: int = PATCHES,
        passage_share: float = PASSAGE_SHARE,
    ) -> None:
        heads = heads or {}
        tensors = [*vision.state_dict().values(), *text.state_dict().values(), *heads.values()]
        cells = {"grid": grid} if grid else {}
        apart = {"texts": "not mapped", "plain_share": PLAIN_SHARE} if heads else {}
        self.revision = _towers.fingerprint(tensors, {"side": side, **cells, **apart, **PREPARATION})
        self.side = side
        self.grid = grid
        self.patches = min(patches, (side // vision.config.patch_size) ** 2)
        self.passage_share = passage_share
        self.joint = bool(heads)
        self._image_head = heads["image"].to(device) if heads else None
        self._text_head = heads["text"].numpy() if heads else np.empty((0, 0), np.float32)
        self._plain_dim = _parts(0 if heads else grid) * vision.config.hidden_size
        self.image_dim = self._plain_dim + (len(heads["image"]) if heads else 0)
        self.text_dim = text.config.hidden_size
        self.batch_size = check_batch_size(batch_size)
        self._vision = vision.eval().to(device, dtype)
        self._text = text.eval().to(device, dtype)
        self._tokenizer = tokenizer
        self._device, self._dtype = device, dtype

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return float32[N, 768], rows of length 1: the CLS token beside the mean of the patches that are like it.

        With a grid float32[N, (2 + grid²) 384]: CLS token, mean patch, and the mean patch of each cell, row by row.
        With heads float32[N, 768 + D]: the vector without a grid beside that with one mapped.
        """
        return _towers.embed_in_batches(images, self.batch_size, self.image_dim, self._embed_images)

    def embed_with_patches(self, images: Sequence[Image.Image]) -> tuple[Vectors, list[Patches]]:
        """Return what `embed_images` does, and int8[1 + P, 384] of each image: its CLS token, and the P patches most
        like it. Their lengths say nothing.
        """
        import torch

        vectors, patches = np.empty((len(images), self.image_dim), np.float32), list[Patches]()
        with torch.inference_mode():
            for start in range(0, len(images), self.batch_size):
                tokens = self._tokens(list(images[start : start + self.batch_size]))
                vectors[start : start + len(tokens)] = self._pooled(tokens).cpu().numpy()
                patches += list(self._salient(tokens))
        return _towers.unit(vectors), patches

    def likeness(self, asked: Vectors, patches: Patches, stored: Vectors, others: Sequence[Patches]) -> Vectors:
        """Return float32[K], -1 to 1: the product of the vectors, in which patches take a share of what plain vectors
        say.

        So maps and patches count by what tells pictures apart in this datastore, as `balance` has found.

        Args:
          asked: float32[D], balanced.
          patches, others: int8[1 + P, 384], of one image and of K.
          stored: float32[K, D].
        """
        plain = asked[: self._plain_dim]
        # a stored plain vector is as long as the root of its share, and balance multiplies by weight / share
        weight = float(np.linalg.norm(plain)) * (PLAIN_SHARE**0.5 if self.joint else 1.0)
        by_patches = weight * _matches(patches, others) - stored[:, : self._plain_dim] @ plain
        result: Vectors = (stored @ asked + PATCH_SHARE * by_patches).astype(np.float32)
        return result

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Return float32[N, 384], rows of length 1: the mean token; text beyond 256 tokens is not read."""
        # Texts of like length share a batch, so that little is padded.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        vectors = np.empty((len(texts), self.text_dim), np.float32)
        ordered = [texts[index] for index in order]
        vectors[order] = _towers.embed_in_batches(ordered, self.batch_size, self.text_dim, self._embed_texts)
        return vectors

    def among_images(self, texts: Vectors) -> Vectors:
        """Return vectors of texts where they compare with those of images: float32[N, 768 + D], of length 1."""
        if not self.joint:
            return texts
        mapped = _towers.unit(texts @ self._text_head.T)
        return np.concatenate([np.zeros((len(texts), self._plain_dim), np.float32), mapped], axis=1)

    def balance(self, images: Vectors, background: Vectors) -> Vectors:
        """Return query vectors, float32[N, 768 + D], whose product with a stored one weighs two cosines anew.

        That of the parts without maps and that of the mapped ones count by how little they spread among stored images,
        so that each has its say by how far it stands out from what is usual, in its own standard deviations. The
        weights sum up to one: a picture still has a product of 1 with itself.

        Args:
          background: float32[M, 768 + D], vectors of stored images.
        """
        if not self.joint or len(background) < FEWEST:
            return images
        shares = np.array([PLAIN_SHARE, 1 - PLAIN_SHARE], np.float32)
        parts = [slice(None, self._plain_dim), slice(self._plain_dim, None)]
        spreads = np.stack([(images[:, part] @ background[:, part].T).std(axis=1) for part in parts], axis=1) / shares
        weights = 1 / np.maximum(spreads, 1e-6)
        factors = weights / weights.sum(axis=1, keepdims=True) / shares
        return np.concatenate([images[:, part] * factors[:, [n]] for n, part in enumerate(parts)], axis=1)

    def _embed_images(self, images: list[Image.Image]) -> "torch.Tensor":
        return self._pooled(self._tokens(images))

    def _tokens(self, images: list[Image.Image]) -> "torch.Tensor":
        """Return float32[N, 1 + patches, 384]."""
        import torch

        pixels = torch.from_numpy(np.stack(each_image(lambda image: _prepare(image, self.side), images))).to(
            self._device, self._dtype
        )
        tokens: torch.Tensor = self._vision(pixel_values=pixels).last_hidden_state.float()
        return tokens

    def _salient(self, tokens: "torch.Tensor") -> Patches:
        """Return int8[N, 1 + P, 384]: the CLS token and the patches most like it, the most similar first."""
        import torch
        from torch.nn.functional import normalize

        unit = normalize(tokens, dim=-1)
        cls, patches = unit[:, :1], unit[:, 1:]
        chosen = (patches @ cls.transpose(1, 2)).topk(self.patches, dim=1).indices
        rows = torch.cat([cls, patches.gather(1, chosen.expand(-1, -1, patches.shape[2]))], dim=1)
        scaled = 127 * rows / rows.abs().amax(dim=-1, keepdim=True)
        result: Patches = scaled.round().to(torch.int8).cpu().numpy()
        return result

    def _pooled(self, tokens: Any) -> "torch.Tensor":
        """Return float32[N, image_dim] of the tower's tokens, float32[N, 1 + patches, 384]."""
        import torch
        from torch.nn.functional import adaptive_avg_pool2d, normalize

        cls, patches = tokens[:, :1], tokens[:, 1:]
        weights = (SHARPNESS * normalize(patches, dim=-1) @ normalize(cls, dim=-1).transpose(1, 2)).softmax(1)
        plain = _joined([cls, (weights * patches).sum(1, keepdim=True)])
        if not self.grid:
            placed = plain
        else:
            rows = self.side // self._vision.config.patch_size
            cells = adaptive_avg_pool2d(patches.transpose(1, 2).unflatten(2, (rows, rows)), self.grid)
            placed = _joined([cls, patches.mean(1, keepdim=True), cells.flatten(2).transpose(1, 2)])
        if self._image_head is None:
            return placed
        mapped = normalize(placed @ self._image_head.T, dim=-1)
        return torch.cat([PLAIN_SHARE**0.5 * plain, (1 - PLAIN_SHARE) ** 0.5 * mapped], dim=1)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return how many tokens of texts are read."""
        return sum(map(len, self._tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]))

    def text_of(self, tokens: Sequence[int]) -> str:
        """Return the text that tokens of this encoder stand for; see `camml.tokens`."""
        return text_of(self._tokenizer, tokens)

    def _embed_texts(self, texts: list[str]) -> "torch.Tensor":
        batch = self._tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        batch = batch.to(self._device)
        tokens = self._text(**batch).last_hidden_state.float()
        mask = batch["attention_mask"].unsqueeze(-1).float()
        mean: torch.Tensor = (tokens * mask).sum(1) / mask.sum(1)
        return mean


def load(
    vision: str = "dinov2-small",
    text: str = "minilm",
    device: str | None = None,
    dtype: str = "float32",
    batch_size: int = 32,
    side: int = SIDE,
    grid: int = 0,
    heads: str = "",
    patches: int = PATCHES,
    passage_share: float = PASSAGE_SHARE,
) -> MiniEncoder:
    """Load the small default encoder.

    Args:
      vision: a DINOv2 folder or name.
      text: a sentence encoder with mean pooling, folder or name.
      device: "cpu", "cuda", "cuda:1", "mps"; None takes a GPU if there is one.
      dtype: "float32", "bfloat16" or "float16".
      batch_size: images or texts that go through a tower together.
      side: of the square that images are pressed into, in pixels; half of it takes a third of the time.
      grid: tell where in an image something is by this many cells a side, at most one a patch; the vectors are
        (grid² + 2) / 2 times as wide, so this is for learning heads from, which know their grid themselves.
      heads: a file of `camml align`, which lets texts find images; without it each finds its own kind only.
      patches: of an image that are kept beside a datastore (384 bytes each) and compared with those of a question's
        image, to put the samples that look most alike into order; 0 compares whole images alone.
      passage_share: what the passage of a text nearest to the words of a question counts beside the whole text, from
        0 to 1, when the samples that were found by words are put into order; 0 compares whole texts alone.

    Raises:
      FetchError: the weights could not be obtained.
      ModelFolderError: a folder does not hold such a tower.
      OptionError: a setting is invalid, or a file holds no heads for these towers.
    """
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    chosen_device, chosen_dtype = choose_device(device), choose_dtype(dtype)
    vision_folder, text_folder = weights.folder(vision), weights.folder(text)
    try:
        with weights.without_bars():
            eyes, reader = (AutoModel.from_pretrained(folder) for folder in (vision_folder, text_folder))
        tokenizer = AutoTokenizer.from_pretrained(text_folder)
        patch = int(eyes.config.patch_size)
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
        why = first_line(error)
        raise ModelFolderError(f"vision={vision} and text={text} are not two towers that load: {why}") from error
    if side < patch or side % patch:
        raise OptionError(f"side is {side}; give a multiple of {patch}, the side of a patch, such as {SIDE}")
    if not 0 <= grid <= side // patch:
        raise OptionError(f"grid is {grid}; give 0, or a number of cells up to {side // patch}, the patches of a side")
    if patches < 0:
        raise OptionError(f"patches is {patches}; give 0 for none, or a number such as {PATCHES}")
    if not 0 <= passage_share <= 1:
        raise OptionError(f"passage_share is {passage_share}; give a share from 0 to 1, such as {PASSAGE_SHARE}")
    maps = None
    if heads:
        hidden = {"image": eyes.config.hidden_size, "text": reader.config.hidden_size}
        maps, grid = _read_heads(heads, hidden, side // patch)
    return MiniEncoder(
        eyes, reader, tokenizer, chosen_device, chosen_dtype, batch_size, side, grid, maps, patches, passage_share
    )


def _matches(asked: Patches, stored: Sequence[Patches]) -> Vectors:
    """Return float32[K]: the cosine of each patch of the question's image with the most similar one of a stored image,
    averaged over the patches by how like they are to the CLS token.

    A thing is found in another pose, at another place or in part, as long as its parts look alike.
    """
    whole, *parts = _towers.unit(asked.astype(np.float32))
    prominence = SHARPNESS * (np.stack(parts) @ whole)
    weights = np.exp(prominence - prominence.max())
    others = _towers.unit(np.stack(stored)[:, 1:].astype(np.float32))
    best = (others @ np.stack(parts).T).max(axis=1)
    result: Vectors = best @ (weights / weights.sum())
    return result


def _joined(parts: "list[torch.Tensor]") -> "torch.Tensor":
    """Return float32[N, P W], of length 1, of vectors float32[N, p, W] with P in all, each of which counts equally."""
    import torch
    from torch.nn.functional import normalize

    return normalize(normalize(torch.cat(parts, dim=1), dim=-1).flatten(1), dim=-1)


def _parts(grid: int) -> int:
    """Return the number of tower vectors that make up the vector of an image."""
    return 2 + grid * grid


def _read_heads(file: str, hidden: Mapping[str, int], most: int) -> "tuple[dict[str, torch.Tensor], int]":
    """Read the maps by kind, and the grid of at most `most` cells a side that they were learned with.

    Args:
      hidden: the widths of the towers.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        heads = load_file(file)
    except (OSError, SafetensorError) as error:
        raise OptionError(f"heads={file} cannot be read ({error}); make it with `camml align`") from error
    shapes = {kind: tuple(head.shape) for kind, head in heads.items()}
    widths = {kind: shape[1] for kind, shape in shapes.items() if len(shape) == 2}
    grids = [grid for grid in range(most + 1) if widths.get("image") == _parts(grid) * hidden["image"]]
    known = widths.keys() == hidden.keys() == shapes.keys() and widths["text"] == hidden["text"]
    if not known or not grids or shapes["image"][0] != shapes["text"][0]:
        raise OptionError(f"heads={file} holds {shapes}, no maps for towers of the widths {dict(hidden)}")
    return {kind: head.float() for kind, head in sorted(heads.items())}, grids[0]


def _prepare(image: Image.Image, side: int) -> Vectors:
    """Return float32[3, side, side] of an image, resized to a square with all of it in view.

    Of 99 flags in four drawing styles, each style looked for among the other three, the right country was among the
    first three for 85 % pressed, 83 % padded and 82 % cropped to a square.
    """
    small = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    pixels = (np.asarray(small, np.float32) / 255 - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
