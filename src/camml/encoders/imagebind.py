"""ImageBind's vision and text towers (arXiv 2305.05665), from the official `imagebind_huge.pth`.

The weights are published under CC BY-NC-SA 4.0, for non-commercial use only; a notice says so whenever they are
loaded. The code here is the project's own, written from the paper and from the names and shapes of the state dict.
"""

import logging
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from camml import packages, weights
from camml.devices import choose_device, choose_dtype
from camml.encoders import Vectors, _towers
from camml.encoders._clip_bpe import ClipTokenizer
from camml.errors import ModelFolderError, first_line
from camml.images import middle_of_strip
from camml.sizes import check_batch_size

if TYPE_CHECKING:
    import torch

    from camml.encoders._imagebind import Towers

FILE = "imagebind_huge.pth"
URL = "https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth"
NOTICE = "ImageBind's weights are licensed CC BY-NC-SA 4.0: for non-commercial use only, with attribution to Meta AI"
HEADS = 16
SIDE = 224
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
PREPARATION = {"side": SIDE, "resize": "short side bicubic, centre crop", "mean": MEAN, "std": STD, "version": 1}

logger = logging.getLogger(__name__)


class ImageBindEncoder:
    """An `Encoder` of ImageBind's vision and text towers."""

    name = "imagebind"
    joint = True

    def __init__(
        self,
        towers: "Towers",
        tokenizer: ClipTokenizer,
        device: "torch.device",
        dtype: "torch.dtype",
        batch_size: int,
    ) -> None:
        self.revision = _towers.fingerprint(towers.state_dict().values(), PREPARATION)
        self.text_dim = self.image_dim = towers.dim
        self.batch_size = check_batch_size(batch_size)
        self._towers = towers.to(device, dtype)
        self._tokenizer, self._device = tokenizer, device

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Return float32[N, D], each row of length 1; text beyond 77 tokens is not read."""
        return _towers.embed_in_batches(texts, self.batch_size, self.text_dim, self._embed_texts)

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return float32[N, D], each row of length 1, from the middle square of each image."""
        return _towers.embed_in_batches(images, self.batch_size, self.image_dim, self._embed_images)

    def _embed_texts(self, texts: list[str]) -> "torch.Tensor":
        import torch

        embedded: torch.Tensor = self._towers.text(torch.from_numpy(self._tokenizer(texts)).to(self._device))
        return embedded

    def _embed_images(self, images: list[Image.Image]) -> "torch.Tensor":
        import torch

        pixels = torch.from_numpy(np.stack([_prepare(image) for image in images]))
        embedded: torch.Tensor = self._towers.vision(pixels.to(self._device))
        return embedded


def load(
    model: str | None = None,
    merges: str | None = None,
    device: str | None = None,
    dtype: str = "float32",
    batch_size: int = 16,
    heads: int = HEADS,
) -> ImageBindEncoder:
    """Load the ImageBind encoder; the log shows a notice of its license.

    Args:
      model: the official file; None looks for `imagebind_huge.pth` in this folder, in `.checkpoints` and `checkpoints`
        below it, and among the fetched weights.
      merges: the byte-pair merges of CLIP's tokenizer; None fetches them.
      device: "cpu", "cuda", "cuda:1", "mps"; None takes a GPU if there is one.
      dtype: "float32", "bfloat16" or "float16".
      batch_size: images or texts that go through a tower together.
      heads: attention heads of both towers, which the file does not tell.
    Raises:
      ModelFolderError: no such file, or not an ImageBind state dict.
      OptionError: the device, dtype or batch size is invalid.
    """
    from camml.encoders._imagebind import Towers

    chosen_device, chosen_dtype = choose_device(device), choose_dtype(dtype)
    towers = Towers.from_official(_read(_find(model)), {"vision": heads, "text": heads})
    tokenizer = ClipTokenizer.read(Path(merges) if merges else weights.folder("clip-bpe") / "merges.txt")
    logger.warning(NOTICE)
    return ImageBindEncoder(towers, tokenizer, chosen_device, chosen_dtype, batch_size)


def _find(model: str | None) -> Path:
    """Return the file of the weights; ImageBind's own code keeps it in `.checkpoints`."""
    usual = [Path(FILE), Path(".checkpoints", FILE), Path("checkpoints", FILE), packages.cache_dir() / "weights" / FILE]
    places = [Path(model).expanduser()] if model else usual
    for place in places:
        if place.is_file():
            return place
    looked = " or ".join(map(str, places))
    raise ModelFolderError(f"no ImageBind weights at {looked}; download {URL} and give its path as `model`")


def _read(path: Path) -> Mapping[str, Any]:
    """Read the tensors of a state dict; they stay on the disk until they are used."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelFolderError(f"{path} is not a PyTorch state dict: {first_line(error)}") from error
    if not isinstance(state, Mapping):
        raise ModelFolderError(f"{path} holds a {type(state).__name__}, not a state dict")
    return state


def _prepare(image: Image.Image) -> Vectors:
    """Return float32[3, SIDE, SIDE]: the short side resized to SIDE, then a centre crop. Source: the official code."""
    image = middle_of_strip(image.convert("RGB"))
    short = min(image.size)
    width, height = (SIDE if side == short else int(SIDE * side / short) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    square = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)), np.float32)
    pixels = (square / 255 - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
