"""Which passages of long samples are read: those that the question asks for, as many as there is room for."""

from pathlib import Path

import numpy as np
import pytest

from camml import answering, encoders
from camml.answering import budget_of, with_passages
from camml.answering.perceiver import PerceiverAnswerer
from camml.errors import OptionError
from camml.features.passages import Budget, PassageChooser
from camml.types import Context, Neighbor, Query, Sample
from tests import tiny

LONG = (
    "The harbour crane was painted last spring. Visitors often ask about its cat. It weighs 4711 tons in all. "
    "The driver's name is Agathe Muster. It stands beside the old mill."
)


def words(text: str) -> int:
    return len(text.split())


def context(*texts: str) -> Context:
    return tuple(Neighbor(Sample(str(number), text), 1.0 - number / 10) for number, text in enumerate(texts))


@pytest.fixture
def chooser() -> PassageChooser:
    return PassageChooser(encoders.load("hashed"))


def choose(chooser: PassageChooser, question: str, given: Context, tokens: int) -> Context:
    [chosen] = chooser.choose([Query(question)], [given], Budget(tokens, words))
    return chosen


@pytest.mark.parametrize(
    ("question", "wanted"),
    [("How many tons does it weigh, what weighs it?", "4711"), ("What is the name of the driver?", "Agathe"),
     ("Where does the crane stand, beside which mill?", "old mill")],
)  # fmt: skip
def test_the_passage_that_is_asked_for_is_read(chooser, question, wanted) -> None:
    [neighbor] = choose(chooser, question, context(LONG), 8)
    assert wanted in neighbor.text
    assert words(neighbor.text) <= 8
    assert neighbor.sample.text == LONG
    assert neighbor.read.text == neighbor.text


def test_what_fits_is_read_whole(chooser) -> None:
    given = context(LONG, "short")
    assert choose(chooser, "anything", given, words(LONG) + 1) == given


def test_the_nearest_text_is_read_whole_up_to_a_limit_of_its_own_and_then_no_other(chooser) -> None:
    given, size = context(LONG, "short"), words(LONG)
    [read] = chooser.choose([Query("What is it?")], [given], Budget(8, words, whole=size))
    assert [(neighbor.sample.id, neighbor.text) for neighbor in read] == [("0", LONG)]
    [read] = chooser.choose([Query("What is it?")], [given], Budget(8, words, whole=size - 1))
    assert words(read[0].text) <= 8


def test_a_farther_text_is_not_read_whole_beyond_the_room_there_is(chooser) -> None:
    [read] = chooser.choose([Query("What is it?")], [context("short", LONG)], Budget(8, words, whole=words(LONG)))
    assert read[0].text == "short"
    assert sum(words(neighbor.text) for neighbor in read) <= 8


def test_beside_a_nearest_text_that_is_read_whole_others_have_the_room_that_is_left(chooser) -> None:
    given = context("one two three", LONG)
    [read] = chooser.choose([Query("What is the name of the driver?")], [given], Budget(12, words, whole=40))
    assert read[0].text == "one two three"
    assert 0 < words(read[1].text) <= 9


@pytest.mark.parametrize("tokens", [3, 8, 15, 30, 45])
def test_no_more_is_read_than_there_is_room_for_in_reading_order(chooser, tokens) -> None:
    chosen = choose(chooser, "What is the name of the driver?", context(LONG, LONG.replace("crane", "tower")), tokens)
    assert chosen
    if tokens >= 8:
        assert sum(words(neighbor.text) for neighbor in chosen) <= tokens
    for neighbor in chosen:
        assert list(neighbor.spans) == sorted(neighbor.spans)


def test_of_equal_passages_that_of_the_nearer_sample_is_read(chooser) -> None:
    chosen = choose(chooser, "What is the driver's name?", context(LONG, LONG), 6)
    assert [neighbor.sample.id for neighbor in chosen] == ["0"]


def test_a_row_of_a_table_comes_with_its_heading(chooser) -> None:
    table = "| part | price |\n|---|---|\n" + "".join(f"| bolt{n} | {n} EUR |\n" for n in range(30))
    [neighbor] = choose(chooser, "What is the price of bolt17?", context(table), 20)
    assert "part | price" in neighbor.text
    assert "bolt17" in neighbor.text


def test_lines_of_the_sheet_that_holds_what_is_asked_for_come_before_prose(chooser) -> None:
    text = "This is the crane.\n\n- The driver: Agathe Muster\n- Tons: 4711\n- Mill: old\n\nSee the cat there."
    [neighbor] = choose(chooser, "Who is the driver?", context(text), 16)
    assert all(fact in neighbor.text for fact in ("Agathe", "4711", "Mill: old"))


def test_vectors_are_kept_and_found_again(tmp_path: Path) -> None:
    encoder = encoders.load("hashed")
    first = choose(PassageChooser(encoder, tmp_path), "What is the driver's name?", context(LONG), 8)
    seen: list[int] = []
    embed = encoder.embed_texts
    encoder.embed_texts = lambda texts: seen.append(len(texts)) or embed(texts)  # type: ignore[method-assign]
    assert choose(PassageChooser(encoder, tmp_path), "What is the driver's name?", context(LONG), 8) == first
    assert seen == [1], "the question alone"


def test_a_disk_that_takes_nothing_is_no_reason_not_to_answer(tmp_path: Path, caplog) -> None:
    (tmp_path / "passages").write_text("in the way")
    chosen = choose(PassageChooser(encoders.load("hashed"), tmp_path), "driver", context(LONG), 8)
    assert chosen
    assert "kept in memory alone" in caplog.text


def test_without_words_in_the_question_there_is_a_choice_all_the_same(chooser) -> None:
    assert choose(chooser, "", context(LONG, LONG), 10)


@pytest.mark.parametrize(("gain", "read"), [(0.0, False), (0.3, True)])
def test_what_a_text_is_about_is_read_beside_what_is_asked_for(chooser, monkeypatch, gain, read) -> None:
    monkeypatch.setattr("camml.features.passages.OPENING", gain)
    text = f"Here stands the Old Margaret. {LONG}"
    [neighbor] = choose(chooser, "What is the name of the driver and of its cat?", context(text), 15)
    assert ("Old Margaret" in neighbor.text) is read
    assert "Agathe" in neighbor.text


def test_a_long_first_passage_has_no_privilege(chooser) -> None:
    text = f"{'So ' * 9}it begins. {LONG}"
    [neighbor] = choose(chooser, "What is the name of the driver?", context(text), 18)
    assert "it begins" not in neighbor.text
    assert "Agathe" in neighbor.text


def test_short_texts_are_read_as_without_passages(chooser) -> None:
    """Nearest first, each from its beginning, the last one up to where the room ends."""
    near, far = "A red car stands here. It was bought in spring.", "Its cat sleeps. The driver's name is Agathe Muster."
    chosen = choose(chooser, "What is the name of the driver?", context(near, far, far), words(near) + 4)
    assert [neighbor.read.text for neighbor in chosen] == [near, "Its cat sleeps. The"]
    assert not chosen[0].spans


def test_a_long_text_behind_a_short_one_is_read_by_its_passages(chooser) -> None:
    near = "A red car stands here. It was bought in spring."
    chosen = choose(chooser, "What is the name of the driver?", context(near, LONG), words(near) + 7)
    assert chosen[0].read.text == near
    assert "Agathe" in chosen[1].read.text
    assert words(chosen[1].read.text) <= 7


def test_a_text_without_spaces_is_cut_too(chooser) -> None:
    [neighbor] = PassageChooser(chooser.encoder).choose(
        [Query("x")], [context("港口起重机去年春天刷过漆" * 3, "短")], Budget(10, len)
    )[0]
    assert neighbor.read.text == "港口起重机去年春天刷"[:10]


def test_nothing_of_an_empty_text_is_read(chooser) -> None:
    chosen = choose(chooser, "driver", context("", LONG), 8)
    assert [neighbor.sample.id for neighbor in chosen] == ["1"]


class TestBudgets:
    def test_perceivers_whose_places_run_on_read_as_many_words_as_there_are_context_tokens(self) -> None:
        run_on = tiny.config(perceiver_run_on=True, perceiver_hidden_size=256)
        answerer = PerceiverAnswerer(tiny.model(run_on), tiny.processor(run_on))
        budget = budget_of(answerer, "auto")
        assert budget is not None
        assert budget.tokens == run_on.context_tokens == 6
        assert budget.length("red") == len(answerer.processor.sample_ids("red"))
        assert budget_of(answerer, "off") is None
        assert budget_of(answerer, "40").tokens == 40  # type: ignore[union-attr]

    def test_the_first_words_are_read_whatever_is_asked(self, llm_folder: Path, chooser) -> None:
        answerer = answering.load("in_prompt", llm_folder)
        budget = budget_of(answerer, "first:9")
        assert (budget.tokens, budget.chosen) == (9, False)  # type: ignore[union-attr]
        assert budget_of(answerer, "9").chosen  # type: ignore[union-attr]

    def test_two_numbers_are_the_room_and_the_longest_nearest_text_as_far_as_the_model_reads(self, llm_folder) -> None:
        budget = budget_of(answering.load("in_prompt", llm_folder), "60-98")
        assert budget is not None
        assert (budget.tokens, budget.whole, budget.chosen) == (60, 98, True)
        run_on = tiny.config(perceiver_run_on=True, perceiver_hidden_size=256)
        budget = budget_of(PerceiverAnswerer(tiny.model(run_on), tiny.processor(run_on)), "5-98")
        assert budget is not None
        assert (budget.tokens, budget.whole) == (5, run_on.context_tokens)

    def test_first_words_are_cut_in_whole_words(self, chooser) -> None:
        given = context(LONG, "Green.")
        [read] = chooser.choose([Query("What is the name of the driver?")], [given], Budget(9, words, chosen=False))
        assert [neighbor.text for neighbor in read] == [" ".join(LONG.split()[:9])]
        [read] = chooser.choose([Query("What is it?")], [given], Budget(40, words, chosen=False))
        assert [neighbor.text for neighbor in read] == [LONG, "Green."]

    def test_others_read_what_fits_their_prompt(self, llm_folder: Path) -> None:
        plain = PerceiverAnswerer(tiny.model(), tiny.processor())
        assert budget_of(plain, "auto") is None
        assert budget_of(answering.load("in_prompt", llm_folder), "auto") is None

    @pytest.mark.parametrize(
        "wrong",
        ["on", "0", "-3", "1.5", "", "first:0", "first:x", "9:first", "9-", "-9", "9-0", "9-12-14", "first:9-12"],
    )
    def test_a_wrong_setting_is_named_with_the_choices(self, wrong: str) -> None:
        with pytest.raises(OptionError, match="auto, off, a number"):
            budget_of(PerceiverAnswerer(tiny.model(), tiny.processor()), wrong)

    def test_the_model_reads_the_passages_alone(self, llm_folder: Path, chooser) -> None:
        answerer = answering.load("in_prompt", llm_folder)
        query = Query("What is the name of the driver?")
        [chosen] = with_passages(answerer, chooser, [query], [context(LONG)], "60")
        assert "Agathe" in answerer.prompt(query, chosen)
        assert "harbour" not in answerer.prompt(query, chosen)
        assert with_passages(answerer, None, [query], [context(LONG)], "60") == [context(LONG)]


def test_a_sample_whose_whole_text_is_chosen_has_no_spans(chooser) -> None:
    chosen = choose(chooser, "the driver Agathe", context("The driver is Agathe.", LONG), 10)
    assert chosen[0].spans == ()
    assert np.isclose(chosen[0].score, 1.0)
