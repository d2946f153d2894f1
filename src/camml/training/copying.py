"""A start for the perceivers from which a context is readable before any training: its tokens are copied words.

A perceiver with random weights hands the language model noise, and learning to write in the language of word
embeddings takes most of a training run. Here every context token starts as one word of a near sample: attention looks
for a place, values carry the word, all other paths begin at zero and are learned.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn

from camml.errors import OptionError
from camml.model.llava_parts import LlavaPartsForConditionalGeneration
from camml.model.modeling import CamMLForConditionalGeneration, ContextPerceiver
from camml.model.perceiver import (
    RANK_WAVES,
    Attention,
    Perceiver,
    PerceiverLayer,
    sinusoids,
    word_waves,
)

WORD_GAIN, CONSTANT_GAIN = 0.03, 2.5
"""Amplitudes of a wave of a word's position and of a constant, relative to the mean norm of word embeddings.

The constant keeps LayerNorm from treating long and short embeddings differently.
"""

RANK_GAIN = 3.0
"""Amplitude of a wave of a sample's rank, relative to states whose numbers are about 1."""

MARGIN = 14.0
"""Difference of attention scores, before softmax, between a position and the next one."""


@torch.no_grad()
def start_copying(model: CamMLForConditionalGeneration, copied: Sequence[int] = ()) -> None:
    """Let a new model start with words of the nearest samples as context, and with images that say nothing yet.

    Args:
      copied: how many of the first words of the nearest sample, of the next, and so on; by default as many of the
        nearest as there are context tokens, and with continuous positions (`perceiver_run_on`) the next one's words
        after its last.

    Raises:
      OptionError: its sizes do not allow it.
    """
    vlm, queries, words = model.vlm, model.config.perceiver_queries, model.get_input_embeddings().weight
    if isinstance(vlm, LlavaPartsForConditionalGeneration):
        if queries > vlm.config.patch_tokens:
            raise OptionError(
                f"a copying start brings a word a patch: --perceiver_querys {queries} is more than the "
                f"{vlm.config.patch_tokens} patches of an image; lower it, or raise --image_size"
            )
        # a new projector says nothing yet that the language model understands
        _zero([module for module in vlm.projector.modules() if isinstance(module, nn.Linear)][-1])
    perceiver = model.context_perceiver
    with _whole(cast(nn.Parameter, words)):
        copy_words(perceiver, cast(Tensor, words).to(perceiver.text_queries), copied or (2 * queries,))


def _whole(parameter: nn.Parameter) -> AbstractContextManager[object]:
    """Return a context in which a parameter is whole that ZeRO-3 may have taken apart as it was loaded."""
    if not hasattr(parameter, "ds_id"):
        return nullcontext()
    import deepspeed

    gathered: AbstractContextManager[object] = deepspeed.zero.GatheredParameters([parameter])
    return gathered


@torch.no_grad()
def copy_words(perceiver: ContextPerceiver, words: Tensor, copied: Sequence[int]) -> None:
    """Set the weights so that the 2 M context tokens are the first words of the nearest samples.

    The first M come by the patches of the nearest one's image, which start with a word each. From a sample without an
    image come the other words only, or with continuous positions its first words as the last M tokens. Where there is
    no sample of a rank, its tokens repeat the nearest one's words. Training is to change all that.

    Args:
      words: float[V, D], the word embeddings of the language model.
      copied: how many words of the nearest sample, at least M, of the next, and so on; together 2 M. With continuous
        positions, 2 M of all samples together.

    Raises:
      OptionError: the perceivers are too narrow to carry a word beside its place, or have no places, or there are not
        as many tokens as words.
    """
    plan = _Plan(perceiver, words)
    if perceiver.run_on and len(copied) > 1:
        raise OptionError("--perceiver_copied shares what --perceiver_run_on shares by itself; give one")
    fits = copied[0] >= plan.half and sum(copied) == 2 * plan.half and min(copied) > 0 and len(copied) <= RANK_WAVES
    if not fits:
        raise OptionError(
            f"--perceiver_copied {' '.join(map(str, copied))}: give at most {RANK_WAVES} numbers that add up to the "
            f"{2 * plan.half} context tokens, the first at least {plan.half}"
        )
    places_of_words = [(rank, place) for rank, count in enumerate(copied) for place in range(count)]
    for part in (perceiver.vision_perceiver, perceiver.language_perceiver, perceiver.context_perceiver):
        _silence(part)
    assert perceiver.word_position is not None
    assert perceiver.sample_position is not None
    signs = plan.signs.to(words)
    perceiver.word_position.zero_()[plan.word_places] = WORD_GAIN * plan.word_norm * signs[plan.word_places]
    perceiver.sample_position.zero_()[plan.rank_places] = RANK_GAIN * signs[plan.rank_places]
    for entry in (perceiver.image_in, perceiver.text_in):
        _zero(entry)
        entry.bias[plan.rank_places] = CONSTANT_GAIN * plan.word_norm * plan.unseen(len(copied)).to(words)
    perceiver.text_in.weight[plan.content, plan.columns] = 1.0
    waves = sinusoids(torch.arange(max(copied), device=words.device), plan.hidden) * signs
    for queries, wanted in (
        (perceiver.vision_queries, places_of_words[: plan.half]),
        (perceiver.text_queries, places_of_words[plan.half :]),
    ):
        ranks, places = (waves[list(numbers)].to(queries.dtype) for numbers in zip(*wanted, strict=True))
        queries.zero_()
        queries[0][:, plan.word_places] = places[:, plan.word_places]
        nearest = queries is perceiver.vision_queries and not perceiver.seamless
        if nearest or not perceiver.run_on:  # else the word may be of any sample
            queries[0][:, plan.rank_places] = ranks[:, plan.rank_places]
    plan.set_attention(perceiver)
    for out in (perceiver.vision_out, perceiver.text_out):
        _zero(out)
        out.weight[plan.columns, plan.content] = 2**0.5 * plan.word_norm / plan.size


def run_on_queries(hidden: int, heads: int, first: int, count: int) -> Tensor:
    """Return float[1, count, hidden]: with continuous positions, queries for the words from place `first` on.

    For scripts/widen_context.py, which gives a trained model more of them.

    Example:
      >>> run_on_queries(640, 10, 36, 36).shape
      torch.Size([1, 36, 640])
    """
    places, queries = _word_places(hidden, heads), torch.zeros(1, count, hidden)
    waves = sinusoids(torch.arange(first, first + count), hidden) * _signs(hidden)
    queries[0][:, places] = waves[:, places]
    return queries


def _word_places(hidden: int, heads: int) -> Tensor:
    """Return the hidden units that carry the place of a word: sines, then cosines."""
    waves = word_waves(hidden, heads)
    return torch.cat([waves, hidden // 2 + waves])


def _signs(hidden: int) -> Tensor:
    """Return float[hidden] of 1 and -1, by which waves sum to little: LayerNorm takes the mean away."""
    return 1.0 - 2.0 * (torch.arange(hidden) % (hidden // 2) % 2)


class _Plan:
    """The hidden units that carry words, those that carry positions, and the amplitudes that LayerNorm leaves them."""

    def __init__(self, perceiver: ContextPerceiver, words: Tensor) -> None:
        if perceiver.word_position is None:
            raise OptionError("a copying start needs perceivers that know places: --perceiver_positions true")
        self.width, self.hidden = words.shape[1], perceiver.text_in.out_features
        heads = _cross_attention(perceiver.context_perceiver).heads
        self.head = self.hidden // heads
        self.half = perceiver.text_queries.shape[1]
        waves = word_waves(self.hidden, heads)
        pairs = RANK_WAVES + len(waves)
        if self.hidden - 2 * pairs < self.width or pairs <= 2 * RANK_WAVES:
            raise OptionError(
                f"a copying start needs perceivers that hold a word of {self.width} numbers beside one head of more "
                f"than {4 * RANK_WAVES}; --perceiver_hidden_size is {self.hidden} with {heads} heads"
            )
        ranks = torch.arange(RANK_WAVES)
        self.rank_places = torch.cat([ranks, self.hidden // 2 + ranks])
        self.word_places = _word_places(self.hidden, heads)
        self.signs = _signs(self.hidden)
        free = torch.ones(self.hidden, dtype=torch.bool)
        free[self.rank_places] = free[self.word_places] = False
        self.content, self.columns = free.nonzero()[: self.width, 0], torch.arange(self.width)
        self.size = self.hidden**0.5  # the length of a state after LayerNorm
        self.word_norm = words.float().norm(dim=1).mean().item()
        self.wave = self.size / pairs**0.5  # amplitude of one wave in a query that is nothing but waves

    def unseen(self, ranks: int) -> Tensor:
        """Return float[8], of length 1: a direction of places that queries of the first `ranks` do not see.

        It has no mean either, which LayerNorm would take away.
        """
        signs = self.signs[self.rank_places]
        waves = sinusoids(torch.arange(ranks), self.hidden)[:, self.rank_places] * signs
        taken = torch.cat([waves, torch.ones(1, len(signs))]).T
        sines = signs * (torch.arange(len(signs)) < RANK_WAVES)
        free = sines - taken @ torch.linalg.lstsq(taken, sines[:, None]).solution[:, 0]
        return free / free.norm()

    def set_attention(self, perceiver: ContextPerceiver) -> None:
        """Let patches find the words of their place, and context queries the words and patches of theirs."""
        place, constant = WORD_GAIN * self.word_norm, CONSTANT_GAIN * self.word_norm
        whole = (self.word_norm**2 + constant**2) ** 0.5  # the norm of a word with the constant
        patches = _cross_attention(perceiver.vision_perceiver)
        self._look(patches, place * self.size / constant, place, self.size / constant)
        context = _cross_attention(perceiver.context_perceiver)
        self._look(context, self.wave, place * self.size / whole, whole / self.word_norm)

    def _look(self, attention: Attention, query: float, key: float, gain: float) -> None:
        """Let queries find the key of their own place, and add its word, `gain` times.

        Args:
          query, key: amplitude of a wave in the states that are compared.
        """
        places = torch.cat([self.rank_places, self.word_places])
        waves = sinusoids(torch.arange(2), self.hidden)[:, self.word_places]
        contrast = float(waves[0] @ (waves[0] - waves[1]))
        scale = (MARGIN * self.head**0.5 / (query * key * contrast)) ** 0.5
        for linear in (attention.query, attention.key):
            _zero(linear)
            for start in range(0, self.hidden, self.head):
                linear.weight[start + torch.arange(len(places)), places] = scale
        _zero(attention.value)
        attention.value.weight[self.columns, self.content] = 1.0
        attention.output.weight[self.content, self.columns] = gain


def _cross_attention(perceiver: Perceiver) -> Attention:
    """Return the cross-attention of the first layer; the others start silent."""
    attention = cast(PerceiverLayer, perceiver.layers[0]).cross_attention
    assert attention is not None, "even layers have cross-attention"
    return attention


def _silence(perceiver: Perceiver) -> None:
    """Start all sublayers at zero, so that states pass as they are."""
    for module in perceiver.modules():
        if isinstance(module, Attention):
            _zero(module.output)
    for layer in perceiver.layers:
        _zero(layer.contract)  # type: ignore[arg-type]


def _zero(linear: nn.Linear) -> None:
    linear.weight.zero_()
    linear.bias.zero_()
