"""Questions, images and samples to the tensors a CaMML model reads, and its answers back to text."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tokenizers import AddedToken
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin

from camml import prompts
from camml.errors import InputError, OptionError
from camml.images import ImageSource
from camml.model.batching import check_arguments, join, prepare_row, stack
from camml.model.config import CamMLConfig
from camml.model.llava_processor import FeaturesOf, LlavaPartsProcessor, first_tokens, pad, set_pad_token
from camml.model.rendering import Renderer
from camml.model.saved_processor import IDS, SavedProcessor
from camml.prompts import Turn
from camml.types import Sample

Conversation = str | Sequence[Turn]
"""A question, or turns of question and answer."""

Images = ImageSource | Sequence[ImageSource] | None
"""What a question is about: an image, several, or none."""


class CamMLProcessor(Renderer, SavedProcessor):
    """The processor of a vision-language model, which also writes a placeholder for each context token.

    Called with `images` and `text` it does what that processor does; `samples` come beside them. `prepare` takes
    questions instead of prompts.

    Args:
      processor: of the vision-language model.
      context_tokens: how many placeholders a context gets, at most if it is `seamless`.
      context_token_id, image_token_id: the placeholders; the model's configuration has the same.
      prompt_style: a name in `camml.prompts.STYLES`.
      sample_max_length: tokens that a sample's text may have; the rest is cut off.
      thinking: let models whose chat template has such a switch think before they answer.
      seamless: give a context no more placeholders than its samples have words, as a model with `perceiver_seamless`
        reads one word in each.

    Raises:
      OptionError: the tokenizer has another token with that id.

    Example:
      >>> from camml import Sample, load_model
      >>> model, processor = load_model("models/camml-mini")
      >>> inputs = processor.prepare(["Which seal?"], ["photo.jpg"], [[Sample("pump-7", "It needs seal 4711.")]])
      >>> int((inputs["input_ids"] == processor.context_token_id).sum()) <= processor.context_tokens
      True
      >>> text = processor.decode(model.generate(**inputs, max_new_tokens=4)[0])
    """

    def __init__(
        self,
        processor: ProcessorMixin,
        context_tokens: int = 256,
        context_token_id: int = 32000,
        image_token_id: int = 32001,
        prompt_style: str = "official",
        sample_max_length: int = 2048,
        thinking: bool = False,
        seamless: bool = False,
    ) -> None:
        prompts.style(prompt_style)
        self.processor = processor
        self.context_tokens = context_tokens
        self.context_token_id = context_token_id
        self.image_token_id = image_token_id
        self.prompt_style = prompt_style
        self.sample_max_length = sample_max_length
        self.thinking = thinking
        self.seamless = seamless
        self.chat_template = processor.chat_template or self.tokenizer.chat_template
        set_pad_token(self.tokenizer)
        if isinstance(processor, LlavaPartsProcessor):  # its ids need no row of the embedding, nor a token
            processor.slots[prompts.CONTEXT] = [context_token_id]
        else:
            self._add_placeholder()

    @classmethod
    def build(cls, config: CamMLConfig, processor: ProcessorMixin, **options: Any) -> "CamMLProcessor":
        """Return the processor that fits a model of `config`; `options` are those of the class."""
        given = {name: getattr(config, name) for name in (*IDS, "sample_max_length")}
        return cls(processor, seamless=config.perceiver_seamless, **given, **options)

    @property
    def image_processor(self) -> Any:
        """The part that prepares images for the model's tower."""
        return getattr(self.processor, "image_processor", None)

    @property
    def context_token(self) -> str:
        """The character that stands for the whole context in a prompt; no text of a user holds it."""
        return prompts.CONTEXT

    def _add_placeholder(self) -> None:
        """Let the tokenizer read the context's character as its placeholder.

        Raises:
          OptionError: the id is that of another token.
        """
        known = self.tokenizer.convert_tokens_to_ids(prompts.CONTEXT)
        if known != self.context_token_id:
            if len(self.tokenizer) == self.context_token_id:
                token = AddedToken(prompts.CONTEXT, normalized=False, special=True)
                self.tokenizer.add_tokens([token], special_tokens=True)
            known = self.tokenizer.convert_tokens_to_ids(prompts.CONTEXT)
        if known != self.context_token_id:
            raise OptionError(
                f"context_token_id {self.context_token_id} does not fit a tokenizer of {len(self.tokenizer)} tokens: "
                "the processor is of another model, or tokens were added; give the first id that is not in use"
            )

    # ---- prompts with images and samples ------------------------------------------------------------------------

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        samples: Sequence[Sample] | Sequence[Sequence[Sample]] | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Return what the vision-language model's processor returns for prompts, and the samples beside it.

        Args:
          images, text, kwargs: as that processor takes them.
          samples: for each prompt its samples, nearest first. A prompt with samples holds `context_token` where they
            are to stand.

        Raises:
          InputError: a prompt with samples has no such place, or one without samples has one.
          OptionError: the processor has no such argument.
        """
        check_arguments(self.processor, kwargs)
        rows = [text] if isinstance(text, str) else list(text or [])
        contexts = _contexts(samples, len(rows))
        for row, context in zip(rows, contexts, strict=True):
            if (places := row.count(prompts.CONTEXT)) != bool(context):
                raise InputError(
                    f"a prompt with {len(context)} samples has {places} places for them: put `processor.context_token` "
                    "once where they are to stand, or let `prepare` write the prompt"
                )
        marked = [self.expanded(row, context) for row, context in zip(rows, contexts, strict=True)]
        inputs = self.processor(images=images, text=marked or None, **kwargs)
        if any(contexts):
            inputs.update(self.sample_inputs(contexts))
        return inputs

    def prepare(
        self,
        text: Conversation | Sequence[Conversation],
        images: Images | Sequence[Images] = None,
        samples: Sequence[Sequence[Sample]] | None = None,
        padding_side: str = "left",
        features_of: FeaturesOf | None = None,
        encode_samples: bool = True,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> BatchFeature:
        """Return all that a model needs for B questions.

        Args:
          text: B questions, or conversations whose last answer is still to come.
          images: for each question its image, several, or None.
          samples: for each question its samples, nearest first; they may be of different number, or none.
          padding_side: `left` for generation, `right` for training.
          features_of: where the tower's features of all images are at hand, so that it need not run.
          encode_samples: False to leave the `sample_*` tensors out, for callers who have the `context_embeds`.
          tools: that the model may call, as chat templates take them.

        Returns:
          what the vision-language model's processor gives, padded; and where there are samples, padded to N a row and
          L tokens each, `sample_input_ids`, `sample_attention_mask` int64[B, N, L], and where samples have images
          `sample_image_counts` int64[B, N], how many image tokens each has, and what that processor gives for them.
          With `features_of` features take the place of pixels.

        Raises:
          InputError: the lists are of different lengths.
          ImageError: an image cannot be used.
        """
        rows: list[Any] = [text] if isinstance(text, str) else list(text)
        if images is None or isinstance(images, ImageSource):
            images = [images] * len(rows)
        contexts: Sequence[Sequence[Sample]] = samples if samples is not None else [()] * len(rows)
        for name, given in (("images", images), ("samples", contexts)):
            if len(given) != len(rows):
                raise InputError(
                    f"{len(rows)} questions, but {name} for {len(given)}; give one entry for each question"
                )
        pictures = [_listed(entry) for entry in images]
        prompts_ = [self.render(r, bool(c), len(p), tools) for r, c, p in zip(rows, contexts, pictures, strict=True)]
        prepared = [self.row(*given) for given in zip(prompts_, pictures, contexts, strict=True)]
        inputs = self.join(prepared, padding_side, features_of)
        if encode_samples and any(contexts):
            inputs |= self.sample_inputs(contexts, features_of)
        return BatchFeature(inputs)

    def row(
        self, prompt: str, images: Sequence[ImageSource], samples: Sequence[Sample] | None = None
    ) -> dict[str, Any]:
        """Return what the model needs for one prompt, before it is put together with others by `join`.

        Without the `samples` that stand in it the prompt has the most placeholders.

        Raises:
          ImageError: an image cannot be used.
          InputError: the model takes another number of them.
        """
        if self.parts:
            return self.processor.row(self.expanded(prompt, samples), images)
        return prepare_row(self.processor, self.expanded(self._marked(prompt), samples), images)

    def join(
        self, rows: Sequence[dict[str, Any]], padding_side: str, features_of: FeaturesOf | None = None
    ) -> dict[str, Tensor]:
        """Return rows, as `row` gives them, as the inputs of one batch.

        Raises:
          ImageError: an image cannot be used.
        """
        if self.parts:
            return self.processor.join(rows, padding_side, features_of)
        return join(rows, self.tokenizer.pad_token_id, padding_side)

    def tokenize(self, prompt: str) -> list[int]:
        """Return the ids of a prompt without images, or of a model of parts; placeholders are in place."""
        if self.parts:
            return self.processor.tokenize(self.expanded(prompt))
        return list(self.row(prompt, ())["input_ids"][0].tolist())

    def expanded(self, prompt: str, samples: Sequence[Sample] | None = None) -> str:
        """Return a prompt with `context_token` once for each placeholder of its samples; by default the most."""
        places = self.context_tokens
        if self.seamless and samples is not None:
            places = min(places, sum(len(self.sample_ids(sample.text)) for sample in samples))
        return prompt.replace(prompts.CONTEXT, prompts.CONTEXT * places)

    # ---- images and samples -------------------------------------------------------------------------------------

    def pixels(self, images: Sequence[ImageSource]) -> Tensor:
        """Return float[N, 3, H, W] of N images, for a model of parts."""
        pixels: Tensor = self.processor.pixels(images)
        return pixels

    def image_tokens(self, images: Sequence[ImageSource]) -> tuple[dict[str, Tensor], list[int]]:
        """Return what the image processor gives for images, and how many image tokens each becomes.

        Raises:
          ImageError: an image cannot be used.
        """
        prompt = self.render("", False, 1)
        rows = [self.row(prompt, [image]) for image in images]
        counts = [int((row["input_ids"] == self.image_token_id).sum()) for row in rows]
        # what has a number for each token of the prompt is about the prompt
        about = [{key: part for key, part in row.items() if part.shape != row["input_ids"].shape} for row in rows]
        return {name: stack([row[name] for row in about]) for name in about[0]}, counts

    def sample_inputs(
        self, contexts: Sequence[Sequence[Sample]], features_of: FeaturesOf | None = None
    ) -> dict[str, Tensor]:
        """Return the `sample_*` tensors of `prepare` for B rows of samples."""
        widest = max(len(context) for context in contexts)
        texts: list[list[int]] = []  # none in the place of a sample that a row has not
        for context in contexts:
            texts += [self.sample_ids(sample.text) for sample in context] + [[]] * (widest - len(context))
        padded = pad(texts, "right", self.tokenizer.pad_token_id)
        inputs = {f"sample_{name}": tensor.unflatten(0, (-1, widest)) for name, tensor in padded.items()}
        counts = torch.zeros(len(contexts), widest, dtype=torch.long)
        places = [(r, c) for r, context in enumerate(contexts) for c, s in enumerate(context) if s.image is not None]
        images = [image for context in contexts for sample in context if (image := sample.image) is not None]
        if not images:  # a run that keeps features has none of a missing image either
            blank = {} if features_of is None else {"sample_image_features": features_of([None])}
            return inputs | ({"sample_image_counts": counts} | blank if blank else {})
        if self.parts:
            about = self.processor.image_inputs(images, features_of)
            numbers = [self.processor.image_tokens] * len(images)
        else:
            about, numbers = self.image_tokens(images)
        counts[tuple(zip(*places, strict=True))] = torch.tensor(numbers)
        return inputs | {"sample_image_counts": counts} | {f"sample_{name}": value for name, value in about.items()}

    def sample_ids(self, text: str) -> list[int]:
        """Return the tokens of a sample's text as the model reads them: at least one, at most `sample_max_length`."""
        return self._all_sample_ids(text)[: self.sample_max_length] or [self.tokenizer.pad_token_id]

    def sample_length(self, text: str) -> int:
        """Return how many tokens the text of a sample has before anything is cut off."""
        return len(self._all_sample_ids(text))

    def _all_sample_ids(self, text: str) -> list[int]:
        tokens = self.tokenizer.encode(self.harmless(text), add_special_tokens=False)
        return [*first_tokens(self.tokenizer), *tokens]

    def apply_chat_template(self, conversation: Any, chat_template: str | None = None, **kwargs: Any) -> Any:
        """Return what the vision-language model's processor makes of messages; see transformers.

        Raises:
          OptionError: the processor has no such argument as one of `processor_kwargs`.
        """
        check_arguments(self.processor, kwargs.get("processor_kwargs") or {})
        return self.processor.apply_chat_template(conversation, chat_template or self.chat_template, **kwargs)

    # ---- answers ------------------------------------------------------------------------------------------------

    def batch_decode(self, sequences: Any, **kwargs: Any) -> list[str]:
        """Return the texts of rows of ids; placeholders are left out."""
        return [self.decode(row, **kwargs) for row in sequences]

    def decode(self, sequence: Any, **kwargs: Any) -> str:
        """Return the text of a row of ids; placeholders are left out."""
        slots = (self.context_token_id, self.image_token_id)
        ids = [token for token in torch.as_tensor(sequence).tolist() if token not in slots]
        return str(self.tokenizer.decode(ids, **{"skip_special_tokens": True, **kwargs}))

    def post_process_image_text_to_text(self, generated_outputs: Any, **kwargs: Any) -> list[str]:
        """Return the texts of generated rows, as pipelines ask for them."""
        return self.batch_decode(generated_outputs, **kwargs)


def _contexts(samples: Any, rows: int) -> list[Sequence[Sample]]:
    """Return the samples of each of some prompts; those of a single one need not be a list of lists.

    Raises:
      InputError: they are of another number.
    """
    contexts = list(samples) if samples is not None else [()] * rows
    if contexts and isinstance(contexts[0], Sample):
        contexts = [contexts]
    if len(contexts) != rows:
        raise InputError(f"{rows} prompts, but samples for {len(contexts)}; give one entry for each prompt")
    return contexts


def _listed(images: Any) -> list[ImageSource]:
    if images is None:
        return []
    return [images] if isinstance(images, ImageSource) else list(images)
