"""Answers in words of the samples, whatever a model would say: on tiny random models, which would say anything."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from camml import answering
from camml.answering import Decoding
from camml.answering._grounding import COUNTED, LONGEST, PLAIN, Grammars, words_of
from camml.refusals import REFUSAL
from camml.types import Context, Neighbor, Query, Sample

CODES = (
    Neighbor(Sample("a", "Locker W-86 / Register entry: 99/334U, in “São Luís”;\nserial ZF5200C. 12.5 kg"), 0.9),
    Neighbor(Sample("b", "Wanda Brixysm restored it."), 0.8),
)
QUESTION = Query("Is it blue or grey?")


def in_words(answer: str, query: Query, context: Context) -> bool:
    """Whether an answer is one of the plain ones, or a run of whole words of one text."""
    texts = [neighbor.sample.text for neighbor in context] + [query.text]
    whole = re.compile(rf"(?:\b|(?!\w)){re.escape(answer)}(?:\b|(?<!\w))")
    return answer in PLAIN or any(whole.search(text) for text in texts)


@pytest.fixture(scope="module")
def grammars(llm_folder: Path) -> Grammars:
    tokenizer = AutoTokenizer.from_pretrained(llm_folder)
    return Grammars(tokenizer, [tokenizer.eos_token_id])


@pytest.mark.parametrize(
    ("answer", "may"),
    [
        ("W-86", True), ("W-866", False), ("99/334U", True), ("99/334", False), ("ZF5200C", True), ("ZF5200", False),
        ("São Luís", True), ("Wanda Brixysm", True), ("Wanda Brixys", False), ("Brixysm W-86", False), ("grey", True),
        ("green", False), ("12.5 kg", True), ("yes", True), (REFUSAL, True), (str(COUNTED), True), ("anything", False),
        ("Register entry: 99/334U", True),
    ],
)  # fmt: skip
def test_which_answers_may_be_given(grammars: Grammars, answer: str, may: bool) -> None:
    matcher = grammars.matcher(words_of(QUESTION, CODES))
    tokens = grammars._tokenizer.encode(answer, add_special_tokens=False)
    read = matcher.deep_copy().validate_tokens(tokens)
    assert (read == len(tokens) and matcher.consume_tokens(tokens) and matcher.is_accepting()) == may


def test_without_samples_there_is_nothing_to_be_held_to(grammars: Grammars) -> None:
    assert grammars.in_words_of(QUESTION, ()) is None


def test_of_very_long_samples_what_was_read_may_be_said(grammars: Grammars) -> None:
    long = Neighbor(Sample("a", "first " + "x" * LONGEST + " last"), 1.0, spans=((0, 5),))
    assert '"first"' in words_of(QUESTION, (long,))
    assert '"first"' not in words_of(QUESTION, (replace(long, sample=Sample("a", "first and last")),))
    texts = [" ".join(f"word{number}x{place}" for place in range(500)) for number in range(100)]
    many = tuple(Neighbor(Sample(str(n), text), 1.0, spans=((0, 30),)) for n, text in enumerate(texts))
    assert grammars.in_words_of(QUESTION, many) is not None


@pytest.mark.parametrize(
    "text", ["half \ud800 a pair", "\x00 \x07", '"\\ \u2028 %regex { } /x/', "中文没有空格 👩‍👩‍👧", " "]
)
def test_any_text_can_be_a_sample(grammars: Grammars, text: str) -> None:
    assert grammars.in_words_of(QUESTION, (Neighbor(Sample("a", text), 1.0),)) is not None


def test_a_grammar_that_cannot_be_used_leaves_the_answer_free(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert grammars.usable(QUESTION, CODES) == words_of(QUESTION, CODES)
    monkeypatch.setattr("camml.answering._grounding.words_of", lambda *_: "start: nothing")
    assert grammars.usable(QUESTION, CODES) is None
    assert grammars.in_words_of(QUESTION, CODES) is None
    assert "not held to words of its samples" in caplog.text


@pytest.mark.parametrize("use", ["perceiver", "in_prompt", "interleaved"])
class TestEveryWay:
    @pytest.fixture
    def answerer(self, use: str, camml_folder: Path, llm_folder: Path, vlm_folder: Path) -> answering.Answerer:
        return answering.load(use, {"perceiver": camml_folder, "in_prompt": llm_folder, "interleaved": vlm_folder}[use])

    @pytest.mark.long
    def test_only_words_of_the_samples_are_said(self, answerer: answering.Answerer) -> None:
        queries, contexts = [QUESTION, Query("what"), Query("is it red")], [CODES, CODES[:1], ()]
        free = answerer.answer(queries, contexts, Decoding(12, grounded=False))
        assert not any(in_words(p.text, q, c) for p, q, c in zip(free, queries, contexts, strict=True))
        for temperature in (0.0, 1.5):
            held = answerer.answer(queries, contexts, Decoding(200, temperature, seed=1, grounded=True))
            wrong = [
                p.text for p, q, c in zip(held, queries, contexts, strict=True) if c and not in_words(p.text, q, c)
            ]
            assert not wrong
        assert held[2].text  # nothing to be held to

    def test_a_batch_answers_as_each_alone_and_as_the_stream(self, answerer: answering.Answerer) -> None:
        grounded = Decoding(12, grounded=True)
        together = answerer.answer([QUESTION, Query("what")], [CODES, CODES[:1]], grounded)
        alone = [
            answerer.answer([QUESTION], [CODES], grounded),
            answerer.answer([Query("what")], [CODES[:1]], grounded),
        ]
        assert [p.text for p in together] == [p.text for [p] in alone]
        assert "".join(answerer.stream(QUESTION, CODES, grounded)).strip() == together[0].text

    def test_a_model_says_itself_what_is_usual(self, answerer: answering.Answerer, use: str) -> None:
        [free] = answerer.answer([QUESTION], [CODES], Decoding(12))
        assert not in_words(free.text, QUESTION, CODES)
        if use == "perceiver":
            answerer.grounding.usual = True
            [held] = answerer.answer([QUESTION], [CODES], Decoding(40))
            assert in_words(held.text, QUESTION, CODES)


@pytest.mark.long
def test_a_folder_keeps_what_is_usual(camml_folder: Path, tmp_path: Path) -> None:
    from camml.model.loading import load_model

    model, processor = load_model(camml_folder)
    assert not model.config.grounded
    model.config.grounded = True
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    [held] = answering.load("perceiver", tmp_path / "model").answer([QUESTION], [CODES], Decoding(40))
    assert in_words(held.text, QUESTION, CODES)
