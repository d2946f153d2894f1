"""All ways of using samples that run here, on tiny models."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image

from camml import answering
from camml.answering import Decoding
from camml.answering.perceiver import load as load_perceiver
from camml.errors import ModelFolderError, OptionError, UnknownNameError
from camml.prompts import Turn
from camml.types import Context, Neighbor, Query
from tests import tiny


@pytest.fixture
def folders(camml_folder: Path, llm_folder: Path, vlm_folder: Path, camml_vlm_folder: Path) -> dict[str, Path]:
    return {
        "perceiver": camml_folder,
        "in_prompt": llm_folder,
        "interleaved": vlm_folder,
        "added": camml_vlm_folder,
    }


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return tuple(Neighbor(sample, 1.0 - rank / 10) for rank, sample in enumerate(tiny.samples(tmp_path)))


SHORT = Decoding(max_new_tokens=6)


def load(use: str, folder: Path, **options: object) -> answering.Answerer:
    """A model used in a way; `added` is a vision-language model with perceivers."""
    return answering.load({"added": "perceiver"}.get(use, use), folder, **options)


@pytest.mark.parametrize("use", ["perceiver", "in_prompt", "interleaved", "added"])
class TestEveryWay:
    @pytest.mark.long
    def test_a_batch_answers_as_each_alone(self, folders, context, use) -> None:
        answerer = load(use, folders[use])
        queries = [Query("what"), Query("which colour is the picture", context[0].sample.image), Query("is it red")]
        contexts = [context, context[:1], ()]
        together = answerer.answer(queries, contexts, SHORT)
        alone = [answerer.answer([q], [c], SHORT)[0] for q, c in zip(queries, contexts, strict=True)]
        assert [p.text for p in together] == [p.text for p in alone]
        assert [p.prompt_tokens for p in together] == [p.prompt_tokens for p in alone]

    @pytest.mark.long
    def test_the_stream_is_the_answer(self, folders, context, use) -> None:
        answerer = load(use, folders[use])
        [whole] = answerer.answer([Query("what")], [context], SHORT)
        assert "".join(answerer.stream(Query("what"), context, SHORT)).strip() == whole.text

    @pytest.mark.long
    def test_a_reader_that_leaves_ends_the_generation(self, folders, context, use) -> None:
        answerer = load(use, folders[use])
        stream = answerer.stream(Query("what"), (), Decoding(max_new_tokens=300))
        next(stream, None)
        stream.close()
        [again] = answerer.answer([Query("what")], [()], SHORT)
        assert again.new_tokens <= 6

    def test_the_context_is_read(self, folders, context, use) -> None:
        answerer = load(use, folders[use])
        texts = {answerer.answer([Query("what")], [c], SHORT)[0].text for c in ((), context[:1], context)}
        assert len(texts) > 1

    def test_the_prediction_says_what_it_was_made_from(self, folders, context, use) -> None:
        [answer] = load(use, folders[use]).answer([Query("what is it")], [context], SHORT)
        assert answer.context == context
        assert "what is it" in answer.prompt
        assert answer.prompt_tokens > 0
        assert 0 < answer.new_tokens <= 6

    @pytest.mark.long
    def test_sampling_repeats_under_a_seed(self, folders, context, use) -> None:
        answerer = load(use, folders[use])
        warm = [Decoding(6, temperature=2.0, seed=seed) for seed in (1, 1, 2, 3, 4)]
        texts = [answerer.answer([Query("what")], [context], decoding)[0].text for decoding in warm]
        assert texts[0] == texts[1]
        assert len(set(texts)) > 1

    @pytest.mark.long
    def test_sampling_draws_from_random_numbers_of_its_own(self, folders, context, use) -> None:
        """One request of many neither sets nor uses the random numbers that all threads share."""
        answerer, warm = load(use, folders[use]), Decoding(6, temperature=2.0, seed=1)
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        [alone] = answerer.answer([Query("what")], [context], warm)
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(6)
        assert answerer.answer([Query("what")], [context], warm)[0].text == alone.text
        assert "".join(answerer.stream(Query("what"), context, warm)).strip() == alone.text
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(answerer.answer, [Query("what")], [context], warm) for _ in range(8)]
            assert {future.result()[0].text for future in asked} == {alone.text}

    @pytest.mark.long
    def test_a_sampled_answer_does_not_depend_on_those_beside_it(self, folders, context, use) -> None:
        answerer, warm = load(use, folders[use]), Decoding(6, temperature=2.0, seed=1)
        [alone] = answerer.answer([Query("what")], [context], warm)
        both = answerer.answer([Query("which one is it now"), Query("what")], [(), context], warm)
        assert both[1].text == alone.text

    @pytest.mark.long
    def test_sampling_takes_the_likeliest_where_top_p_leaves_nothing_else(self, folders, context, use) -> None:
        answerer = load(use, folders[use])
        [likeliest] = answerer.answer([Query("what")], [context], Decoding(6))
        [narrow] = answerer.answer([Query("what")], [context], Decoding(6, temperature=1.0, top_p=1e-6))
        assert narrow.text == likeliest.text
        texts = {answerer.answer([Query("what")], [context], Decoding(6, 2.0))[0].text for _ in range(5)}
        assert len(texts) > 1  # without a seed another one each time

    def test_no_query_is_no_answer(self, folders, use) -> None:
        assert load(use, folders[use]).answer([], []) == []

    def test_a_question_too_long_is_an_error_and_not_cut(self, folders, use) -> None:
        with pytest.raises(OptionError, match=r"the (512|1024) this model reads"):
            load(use, folders[use]).answer([Query("what " * 600)], [()], SHORT)

    def test_a_folder_that_is_no_model_is_named(self, tmp_path, use) -> None:
        with pytest.raises(ModelFolderError, match=r"config\.json"):
            load(use, tmp_path)
        with pytest.raises(ModelFolderError, match="nowhere"):
            load(use, tmp_path / "nowhere")

    def test_unknown_device_and_dtype_are_errors(self, folders, use) -> None:
        with pytest.raises(OptionError, match="quantum"):
            load(use, folders[use], device="quantum")
        with pytest.raises(OptionError, match="float32, bfloat16, float16"):
            load(use, folders[use], dtype="int3")


@pytest.mark.long
@pytest.mark.parametrize("kept", [False, True])
def test_an_image_that_repeats_is_looked_at_once_and_the_answers_are_the_same(
    camml_folder, context, kept, tmp_path, monkeypatch
) -> None:
    answerer = load_perceiver(camml_folder, cache=tmp_path / "cache" if kept else None)
    image = context[0].sample.image
    other = Image.new("RGB", (30, 20), (0, 90, 200))
    queries = [Query("what", image), Query("which colour", image), Query("is it red", other), Query("why", other),
               Query("what", None)]  # fmt: skip
    contexts = [context, context[:2], (), context[1:], context]
    alone = [answerer._inputs([q], [c], SHORT) for q, c in zip(queries, contexts, strict=True)]
    wanted = [answerer.model(**inputs).logits[0, -1] for inputs in alone]
    seen, tower = [], answerer.model.vlm.tower_features
    monkeypatch.setattr(answerer.model.vlm, "tower_features", lambda pixels: seen.append(len(pixels)) or tower(pixels))
    together = answerer.model(**answerer._inputs(queries, contexts, SHORT)).logits[:, -1]
    torch.testing.assert_close(together, torch.stack(wanted), atol=2e-4, rtol=2e-4)
    distinct = {image, *(neighbor.sample.image for neighbor in context if neighbor.sample.image)}
    assert sum(seen) == (2 if kept else len(distinct) + 1)


def test_a_question_without_repetition_takes_the_plain_way(camml_folder, context) -> None:
    answerer = answering.load("perceiver", camml_folder)
    inputs = answerer._inputs([Query("what", context[1].sample.image)], [context[:1]], SHORT)
    assert "pixel_values" in inputs
    assert "image_features" not in inputs


def test_samples_in_the_prompt_are_shortened_farthest_first_and_it_is_said(folders, tmp_path) -> None:
    answerer = answering.load("in_prompt", folders["in_prompt"])
    texts = ["near " * 20, "middle " * 60, "far " * 200]
    samples = [Neighbor(tiny.Sample(name, text), math.nan) for name, text in zip("abc", texts, strict=True)]
    [answer] = answerer.answer([Query("what is it")], [tuple(samples)], SHORT)
    assert answer.prompt_tokens + 6 <= 512
    assert "near near" in answer.prompt
    assert "what is it" in answer.prompt
    assert answer.notes
    assert all(note.startswith(("sample c", "sample b")) for note in answer.notes)
    assert len({note.split(":")[0] for note in answer.notes}) == len(answer.notes)


def test_a_long_sample_is_said_to_be_cut_for_the_perceiver(tmp_path) -> None:
    from camml.answering.perceiver import PerceiverAnswerer

    settings = tiny.config(sample_max_length=8)
    answerer = PerceiverAnswerer(tiny.model(settings), tiny.processor(settings))
    [answer] = answerer.answer([Query("what")], [(Neighbor(tiny.Sample("s", "white field " * 9), 1.0),)], SHORT)
    assert answer.notes
    assert answer.notes[0].startswith("sample s: text cut from ")


def test_a_language_model_is_no_camml_model(llm_folder) -> None:
    with pytest.raises(ModelFolderError, match="in_prompt"):
        answering.load("perceiver", llm_folder)


def test_unknown_ways_are_named_with_the_choices(tmp_path) -> None:
    with pytest.raises(UnknownNameError, match="in_prompt, interleaved, perceiver"):
        answering.load("by_magic", tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0}, {"temperature": -1.0}, {"temperature": math.nan}, {"temperature": math.inf},
        {"top_p": 0.0}, {"top_p": 1.5}, {"top_p": math.nan}, {"seed": 2**63}, {"seed": -(2**63) - 1},
    ],
)  # fmt: skip
def test_decoding_outside_its_range_is_an_error(wrong) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Decoding(**wrong)


@pytest.mark.long
def test_a_picture_stands_in_the_turn_that_it_was_shown_in(tmp_path: Path) -> None:
    for part in tiny.added("llava"):
        part.save_pretrained(tmp_path / "model")
    answerer = answering.load("perceiver", tmp_path / "model")
    picture = tiny.image(tmp_path, "query", (200, 180, 0))

    def marked(query: Query) -> tuple[bool, bool]:
        before, after = answerer.prompt(query, ()).split("a colour")
        return "<image>" in before, "<image>" in after

    assert marked(Query("and here", picture, history=(Turn("what is red", "a colour"),))) == (False, True)
    assert marked(Query("and now", history=(Turn("what is red", "a colour", (picture,)),))) == (True, False)
