"""Prompts, word for word."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml import prompts
from camml.errors import OptionError, UnknownNameError
from camml.prompts import CONTEXT, IMAGE, Turn

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)


def official(style: str = "official", **given: bool) -> str:
    return prompts.render(style, [Turn("Is it red?")], **given).replace(CONTEXT, "<context>").replace(IMAGE, "<image>")


def test_official_with_context_and_image() -> None:
    assert official(context=True, image=True) == (
        f"{SYSTEM} USER: This is the useful context information for this question: <context>, which contains previous "
        "question answering examples, please use this context information to answerthe following question. "
        "The image for this question: <image>\nThe question is: Is it red? ASSISTANT:"
    )


def test_official_with_context_alone() -> None:
    assert official(context=True, image=False).endswith(
        "to answerthe following question. There is no image for this question. The question is: Is it red? ASSISTANT:"
    )


def test_scienceqa_names_its_kind_of_question() -> None:
    text = official("official_scienceqa", context=True, image=True)
    assert "previous scientific question answering examples" in text
    assert "to answerthe following scientific question. The image" in text


def test_without_context_it_is_the_prompt_of_llava() -> None:
    assert official(context=False, image=True) == f"{SYSTEM} USER: <image>\nIs it red? ASSISTANT:"
    assert official(context=False, image=False) == f"{SYSTEM} USER: Is it red? ASSISTANT:"


def test_several_turns_end_each_answer() -> None:
    text = prompts.render("official", [Turn("a", "b"), Turn("c", "d")], context=False, image=False)
    assert text == f"{SYSTEM} USER: a ASSISTANT: b</s>USER: c ASSISTANT: d</s>"


@pytest.mark.parametrize("folder", ["camml_linear", "camml_mlp2x"])
@pytest.mark.parametrize("case", ["image", "text"])
def test_the_reference_prompts(golden: Path, folder: str, case: str) -> None:
    said = json.loads((golden / folder / "expected.json").read_text())
    text = prompts.render("official", [Turn(said["question"])], context=True, image=case == "image")
    assert text.replace(CONTEXT, "<image>").replace(IMAGE, "<image>") == said["cases"][case]["prompt"]


@given(st.text(), st.booleans(), st.booleans(), st.sampled_from(sorted(prompts.STYLES)))
def test_any_question_leaves_exactly_the_places_that_belong(question, context, image, style) -> None:
    text = prompts.render(
        style, [Turn(question)], context=context, image=image, chat_template=lambda m: m[-1]["content"]
    )
    assert (text.count(CONTEXT), text.count(IMAGE)) == (context, image)
    assert prompts.clean(question) in text


@given(st.lists(st.sampled_from(["a", "b c", CONTEXT, IMAGE])))
def test_pieces_joined_are_the_prompt(pieces) -> None:
    text = "".join(pieces)
    assert "".join(prompts.split(text)) == text
    assert all(piece in (CONTEXT, IMAGE) or not {CONTEXT, IMAGE} & set(piece) for piece in prompts.split(text))


def test_a_chat_style_needs_a_template() -> None:
    with pytest.raises(OptionError, match="chat template"):
        prompts.render("chat", [Turn("a")], context=False, image=False)


@pytest.mark.parametrize(("context", "image"), [(True, True), (True, False), (False, True), (False, False)])
def test_the_bare_style_has_no_system_message_but_in_plain_talk(context: bool, image: bool) -> None:
    said = []
    prompts.render("bare", [Turn("a")], context=context, image=image, chat_template=lambda m: said.append(m) or "")
    question = CONTEXT * context + IMAGE * image + "\n" * (context or image) + "a"
    system = [{"role": "system", "content": ""}] if context or image else []
    assert said == [[*system, {"role": "user", "content": question}]]


def test_an_unknown_style_is_named_with_the_choices() -> None:
    with pytest.raises(UnknownNameError, match=r"'loud'.*official, official_scienceqa, chat"):
        prompts.style("loud")


def test_pasted_texts_come_before_the_question_nearest_first() -> None:
    assert prompts.paste("Q", ["a ", "b"]) == "a\n\nb\n\nQuestion: Q"
    assert prompts.paste("Q", []) == "Q"


def test_wordings_of_pasted_texts() -> None:
    for name in prompts.PASTES:
        text = prompts.paste("What {is} it?", ["first {x}", "  ", "second"], name)
        assert text.count("What {is} it?") == text.count("first {x}") == text.count("second") == 1
        assert (text.index("first") > text.index("second")) is (name == "nearest_last")
        assert "first" not in prompts.paste("What {is} it?", [], name)
    assert prompts.paste("Q", ["a", "b"], "ranked").split("\n\n")[1:3] == ["Best match: a", "Weaker match: b"]
    with pytest.raises(UnknownNameError, match="no prompt style 'chat' for texts in the prompt; there are: plain, "):
        prompts.paste("Q", [], "chat")
