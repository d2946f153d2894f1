"""Calls of tools in OpenAI's newer interface, from the official client to the model and back."""

import json
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from camml.serving.engines import Engine
from tests.serving.conftest import Scripted, Serve, service_of
from tests.serving.test_tools import CALL, CITY, prompt

WEATHER = {"type": "function", "name": "get_weather", "description": "Weather.", "parameters": CITY, "strict": True}
CLOCK = {"type": "function", "name": "clock", "parameters": None, "strict": None}
ASKED = {"role": "user", "content": "How is it in Bern?"}
MADE = {"type": "function_call", "call_id": "a", "name": "clock", "arguments": "{}"}
TOLD = {"type": "function_call_output", "call_id": "a", "output": "noon"}


@pytest.fixture(scope="module")
def client(calling_address: str) -> OpenAI:
    return OpenAI(base_url=f"{calling_address}/v1", api_key="none", max_retries=0)


def ask(client: OpenAI, said: Any = "How is it in Bern?", **more: Any) -> Any:
    options = {"tools": [WEATHER, CLOCK], "max_output_tokens": 200, "extra_body": {"shots": 1}} | more
    return client.responses.create(model="tiny", input=said, **options)


def test_a_call_and_its_result_go_round(client: OpenAI, scripted: Scripted, calling: Engine) -> None:
    scripted.says = f"I look it up.\n{CALL}"
    answer = ask(client)
    assert '"name": "get_weather"' in prompt(scripted, calling)
    message, call = answer.output
    assert (answer.status, answer.output_text, answer.refused) == ("completed", "I look it up.", False)
    assert (call.type, call.status, call.name) == ("function_call", "completed", "get_weather")
    assert json.loads(call.arguments) == {"city": "Bern"}
    assert [(tool.type, tool.name) for tool in answer.tools] == [("function", "get_weather"), ("function", "clock")]
    assert (answer.tool_choice, answer.parallel_tool_calls) == ("auto", True)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees"}
    scripted.says = "It has 12 degrees."
    told = ask(client, [ASKED, message, call, result])
    assert told.output_text == scripted.says
    text = prompt(scripted, calling)
    assert text.index("How is it") < text.index("I look it up.") < text.index(CALL) < text.index("12 degrees")
    again = ask(client, [ASKED, *(item.to_dict() for item in answer.output), result])
    assert (again.output_text, prompt(scripted, calling)) == (told.output_text, text)


def test_several_calls_are_one_step_of_the_conversation(client: OpenAI, scripted: Scripted, calling: Engine) -> None:
    scripted.says = f"{CALL}\n{CALL.replace('Bern', 'Basel')}"
    answer = ask(client)
    first, second = answer.output
    assert first.call_id != second.call_id
    told = [{"type": "input_text", "text": "12"}, {"type": "input_text", "text": "degrees"}]
    results = [{"type": "function_call_output", "call_id": c.call_id, "output": told} for c in (second, first)]
    scripted.says = "ok"
    ask(client, [ASKED, first, second, *results, {"role": "assistant", "content": "12"}, ASKED])
    text = prompt(scripted, calling)
    assert f"assistant\n{CALL}{CALL.replace('Bern', 'Basel')}<|im_end|>" in text
    assert text.count("12\ndegrees") == 2
    scripted.says = CALL * 2
    assert len(ask(client, parallel_tool_calls=False).output) == 1


@pytest.mark.long
@pytest.mark.parametrize("says", [f"So: {CALL}{CALL}", CALL, f"{CALL} So.", "So.", ""])
def test_streamed_it_is_the_same(client: OpenAI, scripted: Scripted, says: str) -> None:
    scripted.says = says
    whole = ask(client)
    events = list(ask(client, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    nameless = [item.model_dump(exclude={"id", "call_id"}) for item in whole.output]
    assert [item.model_dump(exclude={"id", "call_id"}) for item in last.response.output] == nameless
    done = [event for event in events if event.type == "response.output_item.done"]
    assert sorted([(event.output_index, event.item) for event in done], key=lambda e: e[0]) == list(
        enumerate(last.response.output)
    )
    added = [event.item.id for event in events if event.type == "response.output_item.added"]
    assert added == [item.id for item in last.response.output]
    deltas = [event for event in events if event.type == "response.function_call_arguments.delta"]
    told = [event for event in events if event.type == "response.function_call_arguments.done"]
    calls = {item.id: item.arguments for item in last.response.output if item.type == "function_call"}
    assert {e.item_id: e.delta for e in deltas} == {e.item_id: e.arguments for e in told} == calls
    with client.responses.stream(model="tiny", input="How is it in Bern?", tools=[WEATHER]) as stream:  # type: ignore[list-item]
        assert len(stream.get_final_response().output) == len(whole.output)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}])
def test_a_call_that_is_to_be_made_is_made(calling: Engine, shared_store: Path, serve: Serve, choice: Any) -> None:
    pytest.importorskip("llguidance")
    with serve(service_of(calling, shared_store)) as address:
        client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        answer = ask(client, tools=[WEATHER], tool_choice=choice, temperature=1)
    [call] = answer.output
    assert (call.name, json.loads(call.arguments)["city"] in ("Bern", "Basel")) == ("get_weather", True)
    assert answer.tool_choice == "required" if choice == "required" else answer.tool_choice.name == "get_weather"


@pytest.mark.parametrize(
    ("more", "param", "word"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools.0.type", "function"),
        ({"tools": [{"type": "function", "function": {"name": "clock"}}]}, "tools.0.name", "required"),
        ({"tools": [WEATHER | {"parameters": {"type": "array"}}]}, "tools.0.parameters", "of type 'object'"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice", "function"),
        ({"tool_choice": {"type": "function", "name": "no"}}, "tool_choice", "get_weather, clock"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice", "no tools"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format", "one of the two"),
        ({"said": [ASKED, TOLD]}, "input", "'a', and no call before"),
        ({"said": [ASKED, MADE, TOLD | {"call_id": None}]}, "input.2.call_id", "string"),
        ({"said": [MADE, TOLD]}, "input", "before the user"),
        ({"said": [ASKED, MADE]}, "input", "no question"),
        ({"said": [ASKED, MADE | {"arguments": "[1]"}, TOLD]}, "input", "'a' are not a JSON object"),
        ({"said": [ASKED, {"type": "item_reference", "id": "a"}]}, "input.1", "function_call_output"),
        ({"said": [ASKED, MADE, TOLD | {"output": [{"type": "input_image", "image_url": "x"}]}]},
         "input.2.output.0.type", "input_text"),
    ],
)  # fmt: skip
def test_what_is_no_call_is_said(client: OpenAI, more: dict[str, Any], param: str, word: str) -> None:
    with pytest.raises(BadRequestError, match=word) as refused:
        ask(client, **more)
    assert refused.value.param == param


def test_a_model_that_knows_no_tools_says_so(address: str) -> None:
    client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    with pytest.raises(BadRequestError, match=r"tiny knows no tools") as refused:
        ask(client)
    assert refused.value.param == "tools"
