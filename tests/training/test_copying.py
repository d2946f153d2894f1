"""A new model whose context tokens are the words of the nearest sample."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from transformers import Dinov2Config, LlamaConfig

from camml.errors import OptionError
from camml.model import CamMLConfig, LlavaPartsConfig
from camml.model.modeling import CamMLForConditionalGeneration, ContextPerceiver
from camml.model.parts import config_of_parts
from camml.training.copying import copy_words, start_copying

WORDS, WIDTH, QUERIES = 400, 48, 8


@pytest.fixture(scope="module")
def model() -> CamMLForConditionalGeneration:
    """Random parts, 16 patches an image, perceivers of 256 numbers with room for words of 48 and their places."""
    torch.manual_seed(0)
    text = {
        "vocab_size": WORDS,
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
    }
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = config_of_parts(
        Dinov2Config(**vision, patch_size=4, image_size=16),
        LlamaConfig(**text),
        perceiver_hidden_size=256,
        perceiver_heads=4,
        perceiver_intermediate_size=64,
        perceiver_queries=QUERIES,
    )
    made = CamMLForConditionalGeneration(config)
    with torch.no_grad():  # words as loud as those of real models
        made.get_input_embeddings().weight.normal_(std=0.13)
    start_copying(made)
    return made.eval()


def images_of(has_image: Tensor) -> dict[str, Tensor]:
    """Pictures of noise for the samples of bool[B, N] that have one."""
    count = int(has_image.sum())
    return {"image_counts": 16 * has_image.long()} | ({"pixel_values": torch.randn(count, 3, 16, 16)} if count else {})


def context(model: CamMLForConditionalGeneration, texts: Tensor, *, images: bool = True) -> Tensor:
    """The word that each context token of one row of samples int64[N, L] is nearest to."""
    ids, count = texts[None], len(texts)
    given = images_of(torch.full((1, count), True)) if images else {}
    with torch.no_grad():
        tokens = model.embed_context(ids, torch.ones_like(ids), **given)[0]
    words = model.get_input_embeddings().weight
    return cosine_similarity(tokens[:, None], words[None], dim=2).argmax(dim=1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("samples", [1, 2, 3, 8])
def test_the_context_is_the_words_of_the_nearest_sample(
    model: CamMLForConditionalGeneration, samples: int, seed: int
) -> None:
    texts = torch.randint(WORDS, (samples, 20), generator=torch.Generator().manual_seed(seed))
    assert context(model, texts).tolist() == texts[0, : 2 * QUERIES].tolist()


@pytest.mark.parametrize("copied", [(11, 5), (9, 4, 3)])
def test_words_of_further_samples_follow(model: CamMLForConditionalGeneration, copied: tuple[int, ...]) -> None:
    shared = deepcopy(model)
    start_copying(shared, copied)
    for seed in range(5):
        texts = torch.randint(WORDS, (4, 20), generator=torch.Generator().manual_seed(seed))
        wanted = [word for rank, count in enumerate(copied) for word in texts[rank, :count].tolist()]
        assert context(shared, texts).tolist() == wanted
        assert context(shared, texts[:1])[: copied[0]].tolist() == wanted[: copied[0]]


@pytest.fixture(scope="module")
def running(model: CamMLForConditionalGeneration) -> CamMLForConditionalGeneration:
    """The same, with places that run on from sample to sample."""
    made = CamMLForConditionalGeneration(CamMLConfig(**{**model.config.to_dict(), "perceiver_run_on": True}))
    made.load_state_dict(model.state_dict())
    start_copying(made)
    return made.eval()


@pytest.fixture(scope="module")
def seamless(model: CamMLForConditionalGeneration) -> CamMLForConditionalGeneration:
    """The same, whose context tokens are all filled, with samples without images too."""
    filled = {"perceiver_run_on": True, "perceiver_seamless": True}
    made = CamMLForConditionalGeneration(CamMLConfig(**{**model.config.to_dict(), **filled}))
    made.load_state_dict(model.state_dict())
    start_copying(made)
    return made.eval()


def mixed(model: CamMLForConditionalGeneration, texts: list[list[int]], images: list[bool]) -> list[int]:
    """As `context`, of texts of several lengths, some with an image."""
    ids = torch.zeros(1, len(texts), max(map(len, texts)), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for number, text in enumerate(texts):
        ids[0, number, : len(text)], mask[0, number, : len(text)] = torch.tensor(text), 1
    with torch.no_grad():
        tokens = model.embed_context(ids, mask, **images_of(torch.tensor([images])))[0]
    words = model.get_input_embeddings().weight
    return cosine_similarity(tokens[:, None], words[None], dim=2).argmax(dim=1).tolist()


@pytest.mark.parametrize("lengths", [(20,), (11, 20), (9, 4, 8), (12, 1, 1, 7), (8, 8), (13, 40, 40), (8, 1, 2, 3, 20)])
def test_places_that_run_on_fill_the_context(running: CamMLForConditionalGeneration, lengths: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(sum(lengths))
    texts = [torch.randint(WORDS, (length,), generator=random).tolist() for length in lengths]
    wanted = [word for text in texts for word in text][: 2 * QUERIES]
    assert mixed(running, texts, [True] * len(texts)) == wanted
    # how many samples follow, and whether these have images, makes no difference
    more = [*texts, [1, 2, 3], [4, 5]]
    assert mixed(running, more, [True] + [False] * (len(more) - 1))[: len(wanted)] == wanted


def test_where_the_first_sample_is_short_the_next_one_starts_in_the_second_half(
    running: CamMLForConditionalGeneration,
) -> None:
    texts = [[7, 8, 9], list(range(20, 40))]
    result = mixed(running, texts, [True, True])
    assert result[:3] == [7, 8, 9]
    assert result[QUERIES:] == list(range(20, 20 + QUERIES))


def test_samples_without_an_image_are_read_in_the_second_half(running: CamMLForConditionalGeneration) -> None:
    texts = [[7, 8, 9], list(range(20, 40))]
    wanted = [7, 8, 9, 20, 21, 22, 23, 24]
    assert mixed(running, texts, [False, True])[QUERIES:] == wanted
    assert mixed(running, texts, [False, False])[QUERIES:] == wanted


@pytest.mark.parametrize(
    "lengths", [(20,), (3, 20), (9, 4, 8), (12, 1, 1, 7), (1, 1, 1, 1, 20), (40, 40), (5, 4), (2,)]
)
@pytest.mark.parametrize("images", ["all", "none", "first", "others", "every other"])
def test_seamless_contexts_have_no_gap(
    seamless: CamMLForConditionalGeneration, lengths: tuple[int, ...], images: str
) -> None:
    random = torch.Generator().manual_seed(sum(lengths))
    texts = [torch.randint(WORDS, (length,), generator=random).tolist() for length in lengths]
    wanted = [word for text in texts for word in text][: 2 * QUERIES]
    number = len(texts)
    pictured = {
        "all": [True] * number,
        "none": [False] * number,
        "first": [True] + [False] * (number - 1),
        "others": [False] + [True] * (number - 1),
        "every other": [place % 2 == 1 for place in range(number)],
    }[images]
    assert mixed(seamless, texts, pictured)[: len(wanted)] == wanted


def test_seamless_contexts_need_continuous_positions(seamless: CamMLForConditionalGeneration) -> None:
    with pytest.raises(OptionError, match="perceiver_seamless needs perceiver_run_on"):
        CamMLConfig(**{**seamless.config.to_dict(), "perceiver_run_on": False})


def test_places_that_run_on_are_not_shared_by_hand(running: CamMLForConditionalGeneration) -> None:
    with pytest.raises(OptionError, match="give one"):
        start_copying(deepcopy(running), (11, 5))
    with pytest.raises(OptionError, match="perceiver_positions"):
        CamMLConfig(**{**running.config.to_dict(), "perceiver_positions": False})
    narrow = {"perceiver_hidden_size": 32, "perceiver_heads": 2}
    with pytest.raises(OptionError, match="perceiver_hidden_size is 32"):
        CamMLForConditionalGeneration(CamMLConfig(**{**running.config.to_dict(), **narrow}))


def test_a_start_in_half_precision_copies_too(model: CamMLForConditionalGeneration) -> None:
    half = deepcopy(model)
    half.vlm.language_model.bfloat16()  # as `--bf16` loads what is frozen; what is trained is float32
    start_copying(half, (11, 5))
    texts = torch.randint(WORDS, (2, 20), generator=torch.Generator().manual_seed(3))
    wanted = [*texts[0, :11].tolist(), *texts[1, :5].tolist()]
    assert context(half.float(), texts).tolist() == wanted


@pytest.mark.parametrize("copied", [(7, 9), (10, 5), (16, 0), (20, -4), (8, 2, 2, 2, 2)])
def test_words_that_are_not_as_many_as_tokens_are_refused(
    model: CamMLForConditionalGeneration, copied: tuple[int, ...]
) -> None:
    with pytest.raises(OptionError, match="add up to the 16 context tokens, the first at least 8"):
        start_copying(deepcopy(model), copied)


def test_without_an_image_it_is_the_second_half_of_them(model: CamMLForConditionalGeneration) -> None:
    texts = torch.randint(WORDS, (1, 20), generator=torch.Generator().manual_seed(7))
    assert context(model, texts, images=False)[QUERIES:].tolist() == texts[0, QUERIES : 2 * QUERIES].tolist()


def test_images_say_nothing_yet(model: CamMLForConditionalGeneration) -> None:
    assert not model.vlm.patches(torch.randn(2, 3, 16, 16)).any()


def test_everything_between_the_parts_can_learn(model: CamMLForConditionalGeneration) -> None:
    """A path that starts silent gets a gradient once what follows it has moved."""
    optimizer = torch.optim.SGD([*model.vlm.projector.parameters(), *model.context_perceiver.parameters()], lr=0.1)
    config = model.config
    row = (
        [config.context_token_id] * config.context_tokens
        + [config.image_token_id] * config.vlm_config.image_tokens
        + [5, 6, 7]
    )
    ids, texts = torch.tensor([row]), torch.randint(WORDS, (1, 2, 20))
    for _ in range(4):
        optimizer.zero_grad()
        loss = model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            labels=torch.where(ids < WORDS, ids, -100),
            pixel_values=torch.randn(1, 3, 16, 16),
            sample_input_ids=texts,
            sample_attention_mask=torch.ones_like(texts),
            sample_pixel_values=torch.randn(2, 3, 16, 16),
            sample_image_counts=torch.full((1, 2), 16),
        ).loss
        loss.backward()
        optimizer.step()
    trained = [*model.vlm.projector.named_parameters(), *model.context_perceiver.named_parameters()]
    assert not [name for name, parameter in trained if parameter.grad is None or not parameter.grad.any()]


def test_perceivers_without_room_or_places_are_refused() -> None:
    parts = LlavaPartsConfig(text_config={"hidden_size": 48, "num_attention_heads": 4, "vocab_size": 10})
    narrow = CamMLConfig(vlm_config=parts, perceiver_hidden_size=48, perceiver_heads=1)
    with pytest.raises(OptionError, match="perceiver_hidden_size is 48"):
        copy_words(ContextPerceiver(narrow), torch.randn(10, 48), (256,))
    blind = CamMLConfig(vlm_config=parts, perceiver_hidden_size=128, perceiver_heads=2, perceiver_positions=False)
    with pytest.raises(OptionError, match="perceiver_positions"):
        copy_words(ContextPerceiver(blind), torch.randn(10, 48), (256,))


def test_more_queries_than_patches_are_refused(model: CamMLForConditionalGeneration) -> None:
    many = CamMLConfig(**{**model.config.to_dict(), "perceiver_queries": 17})
    with pytest.raises(OptionError, match="17 is more than the 16 patches"):
        start_copying(CamMLForConditionalGeneration(many))


@pytest.mark.parametrize("side", [0, 3])
def test_pooling_that_does_not_divide_the_patches_is_refused(model: CamMLForConditionalGeneration, side: int) -> None:
    with pytest.raises(OptionError, match=f"image_pooling {side} does not divide"):
        LlavaPartsConfig(**{**model.config.vlm_config.to_dict(), "image_pooling": side})
