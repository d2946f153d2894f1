"""Questions, images and samples to tensors."""

import pytest
import torch
from PIL import Image
from transformers import ProcessorMixin

from camml import images
from camml.errors import ImageError, InputError, OptionError, UnknownNameError
from camml.prompts import IMAGE, Turn
from camml.types import Sample
from tests import families, tiny


def test_one_placeholder_stands_for_each_context_and_image_token(samples, picture) -> None:
    processor = tiny.processor()
    inputs = processor.prepare(["a", "b", "c", "d"], [picture, None, picture, None], [samples, samples[:1], [], []])
    assert (inputs["input_ids"] == processor.context_token_id).sum(dim=1).tolist() == [6, 6, 0, 0]
    assert (inputs["input_ids"] == processor.image_token_id).sum(dim=1).tolist() == [16, 0, 16, 0]


def test_its_parts_are_checked_without_importing_every_kind_of_tokenizer(monkeypatch) -> None:
    inner = tiny.processor().processor

    def imported(name: str) -> None:
        raise AssertionError(name)

    with pytest.raises(TypeError, match="was expected"):
        type(inner)(inner.tokenizer, inner.tokenizer)
    monkeypatch.setattr(ProcessorMixin, "get_possibly_dynamic_module", staticmethod(imported))
    again = type(inner)(inner.image_processor, inner.tokenizer)
    assert (again.image_processor, again.tokenizer) == (inner.image_processor, inner.tokenizer)


@pytest.mark.parametrize("family", ["parts", "llava"])
def test_a_prompt_of_ones_own_is_read_as_the_one_that_prepare_writes(family, samples, picture) -> None:
    processor = tiny.processor() if family == "parts" else tiny.added(family)[1]
    text = processor.render("what is it", True, 1)
    wanted = processor.prepare(["what is it"], [picture], [samples])
    written = text.replace(IMAGE, "<image>") if family == "llava" else text
    given = processor(Image.open(picture), written, samples, return_tensors="pt")
    assert given.keys() == wanted.keys()
    assert all(torch.equal(given[name], wanted[name]) for name in given)


@pytest.mark.parametrize("family", ["parts", *families.FAMILIES])
def test_an_unknown_argument_is_an_error(family, picture) -> None:
    processor = tiny.processor() if family == "parts" else tiny.added(family)[1]
    chat = [{"role": "user", "content": [{"type": "image", "path": str(picture)}, {"type": "text", "text": "what"}]}]
    options = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    assert "input_ids" in processor.apply_chat_template(chat, **options, processor_kwargs={"padding": True})
    for ask in (
        lambda **wrong: processor(images=Image.open(picture), text="what", **wrong),
        lambda **wrong: processor.apply_chat_template(chat, **options, processor_kwargs=wrong),
    ):
        with pytest.raises(OptionError, match=r"has no argument 'max_shots'; there are: .*images.*padding"):
            ask(max_shots=3)


def test_images_prepared_together_are_those_prepared_alone(tmp_path, monkeypatch) -> None:
    processor = tiny.processor()
    files = [tiny.image(tmp_path, str(n), (40 * n, 200 - 30 * n, 10)) for n in range(5)]
    alone = torch.stack([processor.pixels([file])[0] for file in files])
    for count in (1, 4):
        monkeypatch.setattr(images, "processors", lambda count=count: count)
        assert torch.equal(processor.pixels(files), alone)
    batch = processor.image_processor([processor.processor._open(file) for file in files], return_tensors="pt")
    assert torch.equal(batch["pixel_values"], alone)


def test_shapes_are_those_of_the_docstring(samples, picture) -> None:
    inputs = tiny.processor().prepare(["a", "b", "c"], [picture, None, [picture] * 2], [samples, samples[:2], []])
    assert inputs["pixel_values"].shape == (3, 3, 28, 28)  # only the images there are, in reading order
    assert inputs["sample_pixel_values"].shape == (5, 3, 28, 28)  # only the images there are, row by row
    assert inputs["sample_input_ids"].shape == inputs["sample_attention_mask"].shape
    assert inputs["sample_input_ids"].shape[:2] == (3, 4)
    assert inputs["sample_image_counts"].tolist() == [[16, 16, 0, 16], [16, 16, 0, 0], [0] * 4]
    assert inputs["sample_attention_mask"].any(dim=2).tolist() == [[True] * 4, [True, True, False, False], [False] * 4]


def test_another_number_of_images_than_places_is_an_error(picture) -> None:
    processor = tiny.processor()
    shown = Image.open(picture)
    pair = processor.processor(images=[[shown, shown]], text=[2 * IMAGE + "a"])
    assert len(pair["pixel_values"]) == 2
    with pytest.raises(InputError, match="2 images for 1 places in the prompt"):
        processor.processor(images=[shown, shown], text=IMAGE + "a")
    with pytest.raises(InputError, match="0 images for 1 places"):
        processor.row(IMAGE + "a", [])


def test_an_image_may_be_a_path_or_in_memory(picture) -> None:
    processor = tiny.processor()
    pixels = [
        processor.prepare(["a"], [source])["pixel_values"] for source in (picture, str(picture), Image.open(picture))
    ]
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])
    assert torch.equal(pixels[0], processor.prepare("a", picture)["pixel_values"])


def test_text_of_a_user_cannot_forge_a_placeholder(samples, picture) -> None:
    processor = tiny.processor()
    plain = processor.prepare(["what is  here"], [picture], [samples])
    forged = processor.prepare(["what is \ue000\ue001 here"], [picture], [samples])
    assert torch.equal(plain["input_ids"], forged["input_ids"])
    words = processor.prepare(["is <image> or <context> a word"], [picture], [samples])["input_ids"]
    assert (words == processor.image_token_id).sum() == 16


def test_a_long_sample_is_cut_and_a_question_never(samples) -> None:
    processor = tiny.processor(tiny.config(sample_max_length=5))
    long = Sample("long", "white field " * 50)
    inputs = processor.prepare(["what " * 300], samples=[[long]])
    assert inputs["sample_input_ids"].shape[2] == 5
    assert inputs["input_ids"].shape[1] > 300
    assert processor.sample_length(long.text) > 100


def test_turns_of_a_conversation_are_rendered_with_their_answers(picture) -> None:
    text = tiny.processor().render([Turn("first", "one"), Turn("second")], context=False, images=True)
    assert text == "<|user|>The image: \ue001\nfirst<|end|><|assistant|>one<|end|><|user|>second<|end|><|assistant|>"


def test_decoding_leaves_out_placeholders_and_special_tokens(picture) -> None:
    processor = tiny.processor()
    ids = processor.prepare(["is it red"], [picture])["input_ids"]
    assert processor.batch_decode(ids)[0].replace("\n", " ").endswith("is it red")


def test_lists_of_different_lengths_are_an_error(picture) -> None:
    with pytest.raises(InputError, match="2 questions, but images for 1"):
        tiny.processor().prepare(["a", "b"], [picture])
    with pytest.raises(InputError, match="1 questions, but samples for 2"):
        tiny.processor().prepare(["a"], samples=[[], []])


def test_a_missing_image_is_named(tmp_path) -> None:
    with pytest.raises(ImageError, match="nowhere"):
        tiny.processor().prepare(["a"], [tmp_path / "nowhere.png"])


def test_unknown_choices_are_named() -> None:
    with pytest.raises(UnknownNameError, match="official"):
        tiny.processor(prompt_style="shouting")
    with pytest.raises(OptionError, match="pad, keep"):
        tiny.processor(image_aspect_ratio="stretch")
