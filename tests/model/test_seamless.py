"""Contexts of as many tokens as their samples have words, at most 2 M: `perceiver_seamless`."""

import pytest
import torch

from camml.model.loading import load_model
from camml.types import Sample
from tests import tiny


@pytest.fixture(scope="module")
def model():
    sizes = {"perceiver_hidden_size": 256, "perceiver_queries": 12}
    return tiny.model(tiny.config(perceiver_run_on=True, perceiver_seamless=True, **sizes))


@pytest.fixture
def contexts(samples):
    return [samples[:1], samples, [], samples[2:3], [Sample("none", "")]]


def test_a_placeholder_stands_for_each_word_that_is_read(model, contexts, picture) -> None:
    processor = tiny.processor(model.config)
    inputs = processor.prepare(["what"] * 5, [picture, None, picture, None, None], contexts)
    words = [sum(len(processor.sample_ids(sample.text)) for sample in context) for context in contexts]
    assert (words[0] < words[3] < 24 < words[1], words[4]) == (True, 1)
    counts = (inputs["input_ids"] == processor.context_token_id).sum(dim=1).tolist()
    assert counts == [min(24, number) for number in words]


def test_the_first_tokens_of_each_context_stand_in_its_prompt(model, contexts) -> None:
    processor = tiny.processor(model.config)
    inputs = processor.prepare(["what"] * 5, samples=contexts)
    places = inputs["input_ids"] == processor.context_token_id
    samples = {name.removeprefix("sample_"): value for name, value in inputs.items() if name.startswith("sample_")}
    with torch.no_grad():
        tokens, embeds = model.embed_context(**samples), model.embed(**inputs)
    rows = [row for row in range(5) if places[row].any()]
    for row, own in zip(rows, tokens, strict=True):
        torch.testing.assert_close(embeds[row][places[row]], own[: places[row].sum()])


def test_a_batch_gives_what_each_row_gives_alone(model, contexts, picture) -> None:
    processor = tiny.processor(model.config)
    rows = [("what", picture, context) for context in contexts]
    batch = processor.prepare(*map(list, zip(*rows, strict=True)))
    whole = model.generate(**batch, max_new_tokens=5, num_beams=2, do_sample=False)
    for row, given in enumerate(rows):
        alone = processor.prepare(*([value] for value in given))
        single = model.generate(**alone, max_new_tokens=5, num_beams=2, do_sample=False)
        assert processor.decode(whole[row, -5:]) == processor.decode(single[0, -5:])


def test_a_prompt_of_ones_own_is_read_as_the_one_that_prepare_writes(model, samples) -> None:
    processor = tiny.processor(model.config)
    text = [processor.render("what is it", True, 0)] * 2
    wanted = processor.prepare(["what is it"] * 2, samples=[samples[:1], samples])
    given = processor(None, text, [samples[:1], samples])
    assert all(torch.equal(given[name], wanted[name]) for name in wanted)


def test_more_placeholders_than_there_are_tokens_are_an_error(model, samples) -> None:
    processor = tiny.processor(model.config)
    inputs = processor.prepare(["what"], samples=[samples])
    inputs["input_ids"] = torch.cat([inputs["input_ids"], inputs["input_ids"]], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with pytest.raises(ValueError, match="48 placeholders"):
        model(**inputs)


def test_a_folder_keeps_it(model, samples, tmp_path) -> None:
    processor = tiny.processor(model.config)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, reader = load_model(tmp_path)
    inputs = processor.prepare(["what"], samples=[samples[:2]])
    read = reader.prepare(["what"], samples=[samples[:2]])
    assert torch.equal(inputs["input_ids"], read["input_ids"])
    torch.testing.assert_close(tiny.last_logits(again, **read), tiny.last_logits(model, **inputs))
