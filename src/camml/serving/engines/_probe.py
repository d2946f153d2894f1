"""A look at a language model: how it attends, and what it keeps of a token."""

import torch
from transformers import DynamicCache, PreTrainedModel

from camml.errors import OptionError
from camml.serving.engines import _attention
from camml.serving.engines._attention import Segment, Window
from camml.serving.engines._front import PromptEncoder
from camml.serving.engines._slots import Layout, Slots

TOKENS = (3, 5, 4, 6, 5)
"""Any few that every vocabulary has."""
NEAR = 0.05
"""Of the largest logit: what the order of sums may change, in 16 bits too."""


def check_attention(front: PromptEncoder) -> None:
    """See that every token may look at all before it, which is what slots are for.

    A window is fine as long as prompt and answer fit in it, so it becomes the limit.

    Raises:
      OptionError: the model has layers of another kind.
    """
    config = front.language_model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if other := kinds - {"full_attention", "sliding_attention"}:
        raise OptionError(f"a {config.model_type!r} language model has {min(other)} layers, which cannot be batched")
    window = getattr(config, "sliding_window", None)
    if window and ("sliding_attention" in kinds or not getattr(config, "layer_types", None)):
        front.limit = min(front.limit or window, window)


def layout_of(model: PreTrainedModel) -> Layout:
    """Return what a model keeps of a token, and let it attend by slots.

    Raises:
      OptionError: it does not take to that.
    """
    kind, before = model.config.model_type, model.config._attn_implementation
    if before != "sdpa":
        raise OptionError(f"a {kind!r} language model attends by {before!r}, which cannot be batched")
    with torch.inference_mode():
        words = model.get_input_embeddings()(torch.tensor(TOKENS, device=model.device))
        cache = DynamicCache()
        expected = model(inputs_embeds=words[None], past_key_values=cache, use_cache=True).logits[0, -1]
        shapes = [
            tuple((tensor.shape[1], tensor.shape[3]) for tensor in tensors)
            for tensors in ([layer.keys for layer in cache.layers], [layer.values for layer in cache.layers])
        ]
        layout = Layout(shapes[0], shapes[1], cache.layers[0].keys.dtype, cache.layers[0].keys.device)
        same = False
        try:
            _attention.use(model)
            same = _same(model, layout, words, expected)
        finally:
            if not same:
                model.set_attn_implementation(before)
    if not same:
        raise OptionError(f"a {kind!r} language model attends by rules of its own, which cannot be batched")
    return layout


def _same(model: PreTrainedModel, layout: Layout, words: torch.Tensor, expected: torch.Tensor) -> bool:
    """Return whether a text that is read in pieces beside another one ends as it does when it is read alone."""
    slots = Slots(layout, 2**40)
    first, second = slots.take(len(words)), slots.take(len(words))
    block = first.block
    _attention.run(
        model, Window([Segment(block, 0, 1, 2), Segment(second.block, 1, 1, 3)]), words[[0, 1, 4, 3, 2]], [1]
    )
    _attention.run(model, Window([Segment(block, 0, 2, 1)]), words[[2, 1]], [0])
    logits = _attention.run(model, Window([Segment(block, 0, 1, 2)]), words[3:], [1])[0]
    return bool((logits - expected).abs().max() <= NEAR * expected.abs().max())
