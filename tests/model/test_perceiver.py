"""The context perceiver by itself: masks, empty sets, positions, and BERT as the independent reference of a layer."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertLayer

from camml.model.modeling import ContextPerceiver
from camml.model.perceiver import Attention, Perceiver, PerceiverLayer, sinusoids
from camml.training.bert import BERT_PARTS
from tests import tiny

EXACT = {"atol": 2e-6, "rtol": 1e-5}


@pytest.fixture(scope="module")
def perceiver() -> ContextPerceiver:
    return tiny.model().context_perceiver


def test_a_layer_without_cross_attention_is_one_of_bert() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 32}
    bert = BertLayer(BertConfig(**sizes, attn_implementation="eager")).eval()
    layer = PerceiverLayer(tiny.config(), cross=False).eval()
    theirs = bert.state_dict()
    weights = {
        f"{own}.{kind}": theirs[f"{name}.{kind}"] for own, name in BERT_PARTS.items() for kind in ("weight", "bias")
    }
    layer.load_state_dict(weights)
    states = torch.randn(3, 5, 24)
    expected = bert(states)
    expected = expected if isinstance(expected, torch.Tensor) else expected[0]  # older transformers give a tuple
    torch.testing.assert_close(layer(states, states, None, None), expected, **EXACT)


def test_attention_over_nothing_is_the_output_bias() -> None:
    attention = Attention(8, 2, 0.0)
    torch.nn.init.normal_(attention.output.bias)
    mask = torch.tensor([[False, False], [True, False]])
    result = attention(torch.randn(2, 3, 8), torch.randn(2, 2, 8), mask)
    torch.testing.assert_close(result[0], attention.output.bias.expand(3, 8))
    assert result.isfinite().all()
    assert not torch.allclose(result[1], attention.output.bias.expand(3, 8))


def test_gradients_stay_finite_where_a_set_is_empty() -> None:
    perceiver = Perceiver(tiny.config())
    queries = torch.randn(2, 3, 24, requires_grad=True)
    mask = torch.tensor([[False] * 4, [True] * 4])
    perceiver(queries, torch.randn(2, 4, 24), None, mask).sum().backward()
    assert queries.grad.isfinite().all()


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 4), st.randoms(use_true_random=False))
def test_padding_of_any_shape_changes_nothing(lengths, extra, random) -> None:
    """Samples of any lengths, padded further by `extra`, with anything written into the padding."""
    perceiver = tiny.model().context_perceiver
    torch.manual_seed(random.randint(0, 99))
    longest = max(lengths)
    texts, images = torch.randn(len(lengths), longest, 24), torch.randn(len(lengths), 4, 24)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    patches = torch.tensor([random.randint(0, 4) for _ in lengths])  # images of several sizes, and some that have none
    seen = torch.arange(4) < patches[:, None]
    more, more_seen = torch.randn(len(lengths), 4 + extra, 24), torch.zeros(len(lengths), 4 + extra, dtype=torch.bool)
    more[:, :4][seen], more_seen[:, :4] = images[seen], seen
    wide = torch.cat([texts, torch.randn(len(lengths), extra, 24)], dim=1)
    wide_mask = torch.cat([mask, torch.zeros(len(lengths), extra, dtype=torch.bool)], dim=1)
    with torch.no_grad():
        tokens = compressed(perceiver, images, seen, texts, mask)
        again = compressed(perceiver, more, more_seen, wide, wide_mask)
    torch.testing.assert_close(tokens, again, atol=2e-4, rtol=1e-4)


def compressed(perceiver, images, image_mask, texts, mask) -> torch.Tensor:
    """The context tokens of one row with all these samples."""
    seen, read = perceiver("encode", images, image_mask, texts, mask)
    return perceiver("compress", seen[None], image_mask[None], read[None], mask[None])


@pytest.mark.parametrize("number", [1, 2, 7, 40])
def test_any_number_of_samples_becomes_the_same_number_of_tokens(perceiver, number) -> None:
    mask = torch.ones(number, 3, dtype=torch.bool)
    tokens = compressed(perceiver, torch.randn(number, 3, 24), mask, torch.randn(number, 3, 24), mask)
    assert tokens.shape == (1, 6, 24)
    assert tokens.isfinite().all()


def test_what_a_sample_is_does_not_depend_on_its_companions(perceiver) -> None:
    texts, images = torch.randn(3, 5, 24), torch.randn(3, 4, 24)
    mask, present = torch.ones(3, 5, dtype=torch.bool), torch.ones(3, 4, dtype=torch.bool)
    together = perceiver("encode", images, present, texts, mask)
    alone = perceiver("encode", images[1:2], present[1:2], texts[1:2], mask[1:2])
    for whole, part in zip(together, alone, strict=True):
        torch.testing.assert_close(whole[1:2], part, **EXACT)


@pytest.mark.parametrize("width", [2, 7, 24, 768])
def test_places_are_told_apart(width) -> None:
    result = sinusoids(torch.arange(50), width)
    assert result.shape == (50, width)
    distances = torch.cdist(result, result) + torch.eye(50)
    assert distances.min() > 1e-3


def test_a_width_that_the_heads_cannot_share_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        tiny.config(perceiver_hidden_size=25)
