"""Pictures and texts of samples in the prompt of a vision-language model."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers.utils import logging as transformers_logging

from camml import answering
from camml.answering import Decoding
from camml.answering.interleaved import InterleavedAnswerer
from camml.errors import ModelFolderError, OptionError
from camml.prompts import Turn
from camml.types import Context, Neighbor, Query
from tests import families, tiny

SHORT = Decoding(max_new_tokens=4)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return tuple(Neighbor(sample, 1.0 - rank / 10) for rank, sample in enumerate(tiny.samples(tmp_path)))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return tiny.image(tmp_path, "query", (200, 180, 0), (56, 28))


def logits(answerer: InterleavedAnswerer, query: Query, context: Context) -> torch.Tensor:
    row, _ = answerer.fit(query, context, SHORT)
    with torch.no_grad():
        return answerer.model(**row).logits[0, -1]


@pytest.mark.parametrize("family", families.FAMILIES)
def test_the_answer_depends_on_every_picture_and_text(family, context, picture, tmp_path) -> None:
    answerer = InterleavedAnswerer(*families.build(family))
    query = Query("what is it", picture)
    before = logits(answerer, query, context)
    for rank in range(2):
        old = context[rank].sample
        other = tiny.image(tmp_path, f"other{rank}", (130, 0, 130))
        for sample in (tiny.Sample("x", old.text + " white", old.image), tiny.Sample("x", old.text, other)):
            changed = (*context[:rank], Neighbor(sample, 1.0), *context[rank + 1 :])
            assert not torch.equal(logits(answerer, query, changed), before)
    seen = Query("what is it", tiny.image(tmp_path, "another", (0, 90, 200), (56, 28)))
    assert not torch.equal(logits(answerer, seen, context), before)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Return what transformers logs, each message once: with CI=true its logger passes messages on to the root too.

    Commands that ran before in the same process may have told it to be quiet.
    """
    logger = logging.getLogger("transformers")
    propagate, logger.propagate = logger.propagate, False
    level = logger.level
    logger.setLevel(logging.WARNING)
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
    logger.setLevel(level)
    logger.propagate = propagate


@pytest.mark.long
@pytest.mark.parametrize("family", ["smolvlm", "llava"])
def test_a_question_is_asked_without_a_warning(family, context, picture, said, tmp_path) -> None:
    stock, added = (family, families.build(family)), (f"{family}-camml", tiny.added(family))
    for name, parts in (stock, added):
        for part in parts:
            part.save_pretrained(tmp_path / name)
        said.clear()
        transformers_logging.warning_once.cache_clear()
        logging.getLogger("transformers").warning("heard")
        assert answering.load(answering.fitting(tmp_path / name), tmp_path / name).answer(
            [Query("what", picture)], [context], SHORT
        )
        assert said.messages == ["heard"]


def test_pictures_stand_where_their_texts_do_whichever_comes_first(context, picture) -> None:
    model, processor = families.build("llava")
    asked = Query("what", picture)
    plain = InterleavedAnswerer(model, processor).prompt(asked, context[:2])
    last = InterleavedAnswerer(model, processor, "nearest_last").prompt(asked, context[:2])
    assert plain.index("a red square") < plain.index("the capital") < plain.index("what")
    assert last.index("the capital") < last.index("a red square") < last.index("what")
    assert plain.count("<image>") == last.count("<image>") == 3
    turned = InterleavedAnswerer(model, processor, "nearest_last")
    _, images = turned._content(Turn("what", None, (picture,)), [neighbor.sample for neighbor in context[:2]])
    assert images == [context[1].sample.image, context[0].sample.image, picture]


def test_without_pictures_of_samples_there_is_that_of_the_question_alone(context, picture) -> None:
    blind = InterleavedAnswerer(*families.build("llava"), see_samples=False)
    assert blind.prompt(Query("what", picture), context).count("<image>") == 1


def test_samples_that_do_not_fit_are_shortened_farthest_first_and_it_is_said(picture) -> None:
    answerer = InterleavedAnswerer(*families.build("qwen2_5_vl"))
    answerer.limit = 220
    texts = ["near " * 8, "middle " * 20, "far " * 90]
    context = tuple(Neighbor(tiny.Sample(name, text, picture), 1.0) for name, text in zip("abc", texts, strict=True))
    [prediction] = answerer.answer([Query("what is it", picture)], [context], SHORT)
    assert prediction.prompt_tokens + SHORT.max_new_tokens <= 220
    assert prediction.notes
    assert prediction.notes[0].startswith("sample c")  # the farthest one goes first
    assert answerer.notes(Query("what is it", picture), context, SHORT) == prediction.notes
    answerer.limit = 10
    with pytest.raises(OptionError, match="10"):
        answerer.answer([Query("what is it", picture)], [context], SHORT)


def test_earlier_turns_come_before_the_question(context) -> None:
    answerer = InterleavedAnswerer(*families.build("llava"))
    row, _ = answerer.fit(Query("and now"), context[:1], SHORT, [Turn("what was it", "a field"), Turn("and now")])
    text = answerer.tokenizer.decode(row["input_ids"][0])
    assert text.index("what was it") < text.index("a field") < text.index("a red square") < text.index("and now")


def test_no_text_forges_a_picture(picture) -> None:
    answerer = InterleavedAnswerer(*families.build("llava"))
    context = (Neighbor(tiny.Sample("a", "a \ue001 text"), 1.0),)
    assert answerer.prompt(Query("what \ue001", None), context).count("<image>") == 0


def test_each_kind_of_model_has_the_way_that_fits(vlm_folder, camml_vlm_folder, camml_folder, llm_folder) -> None:
    fitting = {vlm_folder: "interleaved", camml_vlm_folder: "perceiver", camml_folder: "perceiver",
               llm_folder: "in_prompt"}  # fmt: skip
    for folder, use in fitting.items():
        assert answering.fitting(folder) == use
        for other in {"interleaved", "perceiver", "in_prompt"} - {use}:
            with pytest.raises(ModelFolderError, match=use):
                answering.load(other, folder)
