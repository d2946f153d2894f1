"""Calls of tools as templates of known models write them, and as they are read from answers."""

from functools import partial
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml.serving.engines import Piece
from camml.serving.engines._calls import CallForm, CallReader, form_of
from tests.serving.templates import LLAMA, MISTRAL, QWEN

XML = QWEN.replace('{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}', "<f={{ c }}>")
PLAIN = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
STRICT = "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no') }}{% endif %}{% endfor %}"
WITHOUT_RESULTS = QWEN.replace("{{ m.content }}\n</tool_response>", "</tool_response>")


def rendered(template: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str:
    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    made = jinja2.Environment().from_string(template)
    begin = messages[-1]["role"] == "user"
    return made.render(messages=messages, tools=tools, raise_exception=refuse, add_generation_prompt=begin)


@pytest.mark.parametrize(
    ("template", "form"),
    [
        (QWEN, CallForm("<tool_call>", "</tool_call>")),
        (LLAMA, CallForm()),
        (MISTRAL, CallForm()),
        (XML, None),
        (PLAIN, None),
        (STRICT, None),
        (WITHOUT_RESULTS, None),
    ],
    ids=["qwen", "llama", "mistral", "another form", "no tools", "refuses", "shows no results"],
)
def test_the_form_of_calls_is_seen_in_what_the_template_writes(template: str, form: CallForm | None) -> None:
    special = ["<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>", "<|eot|>", "[TOOL_CALLS]", "</s>"]
    assert form_of(partial(rendered, template), special) == form


MARKED, ALONE = CallForm("<tool_call>", "</tool_call>"), CallForm()
ADD = '{"name": "add", "arguments": {"a": 1}}'
SAY = '{"name": "say", "parameters": {"text": "Zürich }"}}'


def read(form: CallForm, pieces: list[str], single: bool = False, reason: Any = "stop") -> tuple[str, list[Any], Any]:
    """The text, the calls and how the answer ended."""
    reader = CallReader(form, {"add", "say"}, single)
    last = len(pieces) - 1
    results = [reader.read(Piece(text, 0, reason if at == last else None)) for at, text in enumerate(pieces)]
    calls = [(call.number, call.name, call.arguments) for piece in results for call in piece.calls]
    return "".join(piece.text for piece in results), calls, results[-1].finish_reason


FIRST, SECOND = (0, "add", '{"a": 1}'), (1, "say", '{"text": "Zürich }"}')


@pytest.mark.parametrize(
    ("form", "answer", "text", "calls"),
    [
        (MARKED, f"<tool_call>\n{ADD}\n</tool_call>", "", [FIRST]),
        (MARKED, f"So.\n<tool_call>{ADD}</tool_call>\n<tool_call>{SAY}</tool_call>", "So.", [FIRST, SECOND]),
        (MARKED, f"<tool_call>{ADD}", "", [FIRST]),
        (MARKED, f"<tool_call>[{ADD}, {SAY}]</tool_call>", "", [FIRST, SECOND]),
        (MARKED, "<tool_call>add(1)</tool_call>", "<tool_call>add(1)</tool_call>", []),
        (MARKED, "a < b <tool", "a < b <tool", []),
        (MARKED, ADD, ADD, []),
        (ALONE, ADD, "", [FIRST]),
        (ALONE, f"[{ADD}, {SAY}]", "", [FIRST, SECOND]),
        (ALONE, f"{ADD}; {SAY}", "", [FIRST, SECOND]),
        (ALONE, f"It is {ADD}", f"It is {ADD}", []),
        (ALONE, ADD.replace("add", "other"), ADD.replace("add", "other"), []),
        (ALONE, '{"answer": 5}', '{"answer": 5}', []),
        (ALONE, '{"name": "add", "argu', '{"name": "add", "argu', []),
        (ALONE, "[" * 100_000, "[" * 100_000, []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_calls_are_taken_out_of_answers(form: CallForm, answer: str, text: str, calls: list[Any], size: int) -> None:
    if len(answer) > 1000 > size:
        pytest.skip("the same in so many pieces")
    pieces = [answer[place : place + size] for place in range(0, len(answer), size)] + [""]
    assert read(form, pieces) == (text, calls, "tool_calls" if calls else "stop")


def test_only_the_first_where_others_are_not_wanted() -> None:
    assert read(ALONE, [f"[{ADD}, {SAY}]"], single=True) == ("", [FIRST], "tool_calls")


def test_an_answer_that_was_cut_says_so() -> None:
    assert read(MARKED, [f"<tool_call>{ADD}</tool_call><tool_call>", SAY[:9]], reason="length")[1:] == (
        [FIRST],
        "length",
    )


@given(
    st.lists(st.sampled_from(["a", " ", "\n", "<", "<tool", "<tool_call>", "</tool_call>", ADD, "{", "é"]), max_size=12)
)
def test_nothing_is_lost_or_said_twice(parts: list[str]) -> None:
    whole = read(MARKED, ["".join(parts)])
    assert read(MARKED, [*parts, ""]) == whole
    if not whole[1]:
        assert whole[0] == "".join(parts).strip()
