"""What is learned of a conversation: its answers, token by token, and nothing else."""

from pathlib import Path

import pytest

from camml.data.examples import IGNORED, TrainingRows, build, check_masks, trained
from camml.data.llava_json import Conversation
from camml.errors import OptionError, SampleError
from camml.model import CamMLProcessor
from camml.prompts import Turn
from camml.types import Neighbor, Sample
from tests import tiny

TALK = (Turn("which colour is it", "a red square"), Turn("and where", "on a white field\nof France"))


@pytest.fixture
def conversation(tmp_path: Path) -> Conversation:
    return Conversation("talk", TALK, tiny.image(tmp_path, "it", (220, 20, 20)))


@pytest.fixture(params=["chat", "official", "official_scienceqa", "golden"])
def processor(request: pytest.FixtureRequest) -> CamMLProcessor:
    if request.param == "golden":  # a sentencepiece vocabulary
        folder = request.getfixturevalue("golden") / "camml_linear"
        return CamMLProcessor.from_pretrained(folder)
    return tiny.processor(prompt_style=request.param)


def texts(example, processor) -> list[str]:
    return [processor.decode(stretch, skip_special_tokens=False) for stretch in trained(example)]


@pytest.mark.parametrize("shots", [0, 2])
def test_answers_and_their_ends_are_trained(conversation, processor, shots, tmp_path) -> None:
    example = build(conversation, tiny.samples(tmp_path)[:shots], processor, 2048)
    end = "<|end|>" if processor.prompt_style == "chat" else "</s>"
    assert ["".join(text.split()) for text in texts(example, processor)] == [
        "".join((turn.answer or "").split()) + end for turn in TALK
    ]
    check_masks(example, conversation, processor)
    assert len(example.labels) == len(example.input_ids)
    assert all(label in (IGNORED, token) for label, token in zip(example.labels, example.input_ids, strict=True))


def test_what_precedes_an_answer_is_the_prompt_of_inference(conversation, processor, tmp_path) -> None:
    samples = tiny.samples(tmp_path)[:2]
    example = build(conversation, samples, processor, 2048)
    asked = processor.prepare([TALK[0].question], [conversation.image], [samples])["input_ids"][0].tolist()
    start = next(n for n, label in enumerate(example.labels) if label != IGNORED)
    assert example.input_ids[:start] == asked


def test_every_placeholder_is_there_and_none_is_trained(conversation, processor, tmp_path) -> None:
    example = build(conversation, tiny.samples(tmp_path), processor, 2048)
    assert example.input_ids.count(processor.context_token_id) == processor.context_tokens
    assert example.input_ids.count(processor.image_token_id) == processor.processor.image_tokens
    assert not {processor.context_token_id, processor.image_token_id} & set(example.labels)


@pytest.mark.parametrize("shots", [1, 4])
def test_seamless_contexts_leave_what_is_trained_alone(conversation, shots, tmp_path) -> None:
    sizes = {"perceiver_hidden_size": 256, "perceiver_queries": 12}
    processor = tiny.processor(tiny.config(perceiver_run_on=True, perceiver_seamless=True, **sizes))
    samples = tiny.samples(tmp_path)[:shots]
    example = build(conversation, samples, processor, 2048)
    words = sum(len(processor.sample_ids(sample.text)) for sample in samples)
    assert example.input_ids.count(processor.context_token_id) == min(24, words)
    assert texts(example, processor) == [f"{turn.answer}<|end|>" for turn in TALK]
    check_masks(example, conversation, processor)
    asked = processor.prepare([TALK[0].question], [conversation.image], [samples])["input_ids"][0].tolist()
    assert example.input_ids[: len(asked)] == asked


def test_a_long_conversation_is_cut_at_its_end(conversation, processor) -> None:
    whole = build(conversation, [], processor, 2048)
    cut = build(conversation, [], processor, len(whole.input_ids) - 3)
    assert cut.input_ids == whole.input_ids[:-3]
    assert cut.labels == whole.labels[:-3]
    check_masks(cut, conversation, processor)


def test_a_prompt_without_room_for_an_answer_is_an_error(conversation, processor) -> None:
    labels = build(conversation, [], processor, 2048).labels
    first = next(n for n, label in enumerate(labels) if label != IGNORED)
    for length in (first, 20):
        with pytest.raises(SampleError, match=r"'talk'.*--model_max_length"):
            build(conversation, [], processor, length)


def test_a_vocabulary_without_the_end_token_is_an_error(conversation) -> None:
    processor = tiny.processor(prompt_style="chat")
    processor.processor.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"
    with pytest.raises(OptionError, match=r"no special token.*ends an answer \('.*on a white field|'.*a red square"):
        build(conversation, [], processor, 2048)


def test_a_template_that_rewrites_history_is_an_error(conversation) -> None:
    processor = tiny.processor(prompt_style="chat")
    processor.processor.chat_template = tiny.CHAT_TEMPLATE.replace(
        "{{ m.content }}", "{{ m.content if loop.last else m.content | upper }}"
    )
    with pytest.raises(SampleError, match=r"'talk'.*cannot be told"):
        build(conversation, [], processor, 2048)


def test_a_wrong_mask_is_shown_as_text(conversation, processor) -> None:
    example = build(conversation, [], processor, 2048)
    first = next(n for n, label in enumerate(example.labels) if label != IGNORED)
    shifted = list(example.labels)
    shifted[first] = IGNORED
    with pytest.raises(SampleError, match=r"the mask is wrong.*the answer is 'a red square'"):
        check_masks(type(example)("talk", example.input_ids, shifted, None, ()), conversation, processor)
    nothing = type(example)("talk", example.input_ids, [IGNORED] * len(shifted), None, ())
    with pytest.raises(SampleError, match="no token"):
        check_masks(nothing, conversation, processor)


@pytest.mark.long
def test_shots_are_drawn_by_seed_epoch_and_row_alone() -> None:
    rows = [Conversation(str(n), (Turn("q", "a"),)) for n in range(40)]
    neighbors = tuple(Neighbor(Sample(str(n), "text"), 1.0) for n in range(5))

    def shots(seed: int, epoch: int) -> list[int]:
        dataset = TrainingRows(rows, lambda _: neighbors, tiny.processor(), shots=3, random_shots=True, seed=seed)
        return [len(dataset[(epoch, row)].samples) for row in range(40)]

    assert shots(1, 0) == shots(1, 0)
    assert set(shots(1, 0)) == {1, 2, 3}
    assert len({tuple(shots(1, 0)), tuple(shots(1, 1)), tuple(shots(2, 0))}) == 3
    fixed = TrainingRows(rows, lambda _: neighbors, tiny.processor(), shots=3)
    assert {len(fixed[row].samples) for row in range(40)} == {3}
    assert len(TrainingRows(rows, lambda _: neighbors, tiny.processor(), shots=0)[0].samples) == 0


@pytest.mark.long
def test_images_of_samples_are_dropped_for_all_of_a_row_by_seed_epoch_and_row_alone(tmp_path: Path) -> None:
    rows = [Conversation(str(n), (Turn("q", "a"),)) for n in range(60)]
    neighbors = tuple(Neighbor(Sample(str(n), "text", tmp_path / "p"), 1.0) for n in range(3))

    def without(seed: int, epoch: int, part: float) -> list[bool]:
        dataset = TrainingRows(rows, lambda _: neighbors, tiny.processor(), shots=3, image_dropout=part, seed=seed)
        contexts = [[sample.image is None for sample in dataset[(epoch, row)].samples] for row in range(60)]
        assert all(len(set(context)) == 1 for context in contexts)
        return [context[0] for context in contexts]

    assert without(1, 0, 0.3) == without(1, 0, 0.3)
    assert 8 <= sum(without(1, 0, 0.3)) <= 28
    assert len({tuple(without(1, 0, 0.3)), tuple(without(1, 1, 0.3)), tuple(without(2, 0, 0.3))}) == 3
    assert not any(without(1, 0, 0.0))
    assert all(without(1, 0, 1.0))
