"""Any dual encoder of transformers, where a text finds an image: SigLIP 2 by default, SigLIP, CLIP, MetaCLIP 2, ..."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from camml import weights
from camml.devices import choose_device, choose_dtype
from camml.encoders import Vectors, _towers
from camml.errors import ModelFolderError, first_line
from camml.images import cuts_middle, middle_of_strip
from camml.sizes import check_batch_size
from camml.tokens import text_of

if TYPE_CHECKING:
    import torch

DEFAULT = "google/siglip2-base-patch16-224"
SIGLIP_TOKENS = 64
"""SigLIP and SigLIP 2 learned on lower-case texts padded to 64 tokens, without a mask. Source: arXiv 2502.14786."""


class DualEncoder:
    """An `Encoder` around a transformers model with `get_text_features` and `get_image_features`."""

    name = "dual"
    joint = True

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        image_processor: Any,
        device: "torch.device",
        dtype: "torch.dtype",
        batch_size: int,
    ) -> None:
        self._siglip = model.config.model_type.startswith("siglip")
        self._max_tokens = _max_tokens(model.config, tokenizer)
        preparation = {"image": image_processor.to_dict(), "tokens": self._max_tokens, "version": 1}
        self.revision = _towers.fingerprint(model.state_dict().values(), preparation)
        self.batch_size = check_batch_size(batch_size)
        self._model = model.eval().to(device, dtype)
        self._tokenizer, self._image_processor = tokenizer, image_processor
        self._device, self._dtype = device, dtype
        self._cuts_middle = cuts_middle(image_processor)
        self.text_dim = self.image_dim = self._measure()

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Return float32[N, text_dim], each row of length 1; text beyond the model's tokens (64 or 77) is not read."""
        return _towers.embed_in_batches(texts, self.batch_size, self.text_dim, self._embed_texts)

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return float32[N, image_dim], each row of length 1."""
        return _towers.embed_in_batches(images, self.batch_size, self.image_dim, self._embed_images)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return how many tokens of texts are read, without those that fill them up."""
        read = [text.lower() for text in texts] if self._siglip else list(texts)
        return sum(map(len, self._tokenizer(read, truncation=True, max_length=self._max_tokens)["input_ids"]))

    def text_of(self, tokens: Sequence[int]) -> str:
        """Return the text that tokens of this encoder stand for; see `camml.tokens`."""
        return text_of(self._tokenizer, tokens)

    def _embed_texts(self, texts: list[str]) -> "torch.Tensor":
        if self._siglip:
            texts = [text.lower() for text in texts]
        batch = self._tokenizer(
            texts,
            padding="max_length" if self._siglip else True,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        ).to(self._device)
        if self._siglip:
            return _features(self._model.get_text_features(input_ids=batch["input_ids"]))
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        return _features(self._model.get_text_features(**inputs))

    def _embed_images(self, images: list[Image.Image]) -> "torch.Tensor":
        shown = [image.convert("RGB") for image in images]
        if self._cuts_middle:
            shown = [middle_of_strip(image) for image in shown]
        batch = self._image_processor(images=shown, return_tensors="pt")
        inputs = {
            name: tensor.to(self._device, self._dtype) if tensor.is_floating_point() else tensor.to(self._device)
            for name, tensor in batch.items()
        }
        return _features(self._model.get_image_features(**inputs))

    def _measure(self) -> int:
        """Return D, as the model gives it: families store it under different names in their configurations."""
        import torch

        with torch.inference_mode():
            return int(self._embed_texts(["a"]).shape[-1])


def load(model: str = DEFAULT, device: str | None = None, dtype: str = "float32", batch_size: int = 32) -> DualEncoder:
    """Load a dual encoder.

    Args:
      model: a transformers folder or a name on the model hub.
      device: "cpu", "cuda", "cuda:1", "mps"; None takes a GPU if there is one.
      dtype: "float32", "bfloat16" or "float16".
      batch_size: images or texts that go through a tower together.
    Raises:
      FetchError: the weights could not be obtained.
      ModelFolderError: it is another kind of model.
      OptionError: the device, dtype or batch size is invalid.
    """
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    # Under its short name transformers 5.16 and 5.17 refuse it where there is no torchvision, which it does not need.
    from transformers.models.auto.image_processing_auto import AutoImageProcessor

    chosen_device, chosen_dtype = choose_device(device), choose_dtype(dtype)
    folder = weights.folder(model)
    try:
        with weights.without_bars():
            network = AutoModel.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        # The one back end that is there on every machine, so that a vector is the same on all.
        image_processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelFolderError(f"{_where(model, folder)} does not load: {first_line(error)}") from error
    if not (hasattr(network, "get_text_features") and hasattr(network, "get_image_features")):
        raise ModelFolderError(
            f"{_where(model, folder)} is a {type(network).__name__}, which has no text and image towers in one space; "
            f"give a CLIP, SigLIP or MetaCLIP model, such as {DEFAULT}"
        )
    return DualEncoder(network, tokenizer, image_processor, chosen_device, chosen_dtype, batch_size)


def _where(model: str, folder: Path) -> str:
    return model if str(folder) == model else f"{model} ({folder})"


def _max_tokens(config: Any, tokenizer: Any) -> int:
    """Return the length in tokens of the longest text that the model reads."""
    text_config = getattr(config, "text_config", config)
    positions = int(getattr(text_config, "max_position_embeddings", tokenizer.model_max_length))
    if config.model_type.startswith("siglip"):
        return min(SIGLIP_TOKENS, positions)
    return min(int(tokenizer.model_max_length), positions)


def _features(output: Any) -> "torch.Tensor":
    """Return float[N, D] from the model's output: some releases return the tensor, some an object that holds it."""
    import torch

    features: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features
