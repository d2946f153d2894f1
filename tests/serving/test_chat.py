"""The chat endpoint, asked by the official client."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from camml import answering
from camml.answering import Decoding
from camml.datastore import open_store
from camml.errors import BusyError, TooLargeError
from camml.retriever import Retriever
from camml.types import Query
from tests.serving.conftest import MakeService, Serve

QUESTION = "which colour is the picture"


@pytest.fixture
def client(address: str) -> OpenAI:
    return OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def shown(text: str, file: Path) -> list[dict[str, Any]]:
    url = "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()
    return [
        {
            "role": "user",
            "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}],
        }
    ]


def ask(client: OpenAI, messages: list[dict[str, Any]], max_tokens: int = 12, **more: Any) -> Any:
    return client.chat.completions.create(model="tiny", messages=messages, max_tokens=max_tokens, **more)


def expected(camml_folder: Path, store: Path, query: Query, shots: int, max_tokens: int = 12) -> str:
    """What `camml ask` would answer."""
    datastore, encoder = open_store(str(store))
    [context] = Retriever(datastore, encoder).retrieve([query], shots)
    [prediction] = answering.load("perceiver", camml_folder).answer([query], [context], Decoding(max_tokens))
    return prediction.text


def test_answer_and_evidence_are_those_of_the_command_line(
    client: OpenAI, camml_folder: Path, store_folder: Path
) -> None:
    answer = ask(client, said(QUESTION))
    assert answer.choices[0].message.content == expected(camml_folder, store_folder, Query(QUESTION), 3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12
    assert [sample["id"] for sample in answer.context] == [n.sample.id for n in nearest(store_folder, Query(QUESTION))]
    assert all(-1 <= sample["score"] <= 1 and sample["store"] == "colours" for sample in answer.context)


def nearest(store: Path, query: Query) -> Any:
    datastore, encoder = open_store(str(store))
    return Retriever(datastore, encoder).retrieve([query], 3)[0]


def test_a_picture_is_seen_and_searched_by(client: OpenAI, camml_folder: Path, store_folder: Path) -> None:
    file = store_folder.parent / "red.png"
    answer = ask(client, shown(QUESTION, file))
    assert answer.context[0]["id"] == "red"
    assert answer.choices[0].message.content == expected(camml_folder, store_folder, Query(QUESTION, file), 3)


def test_a_stream_says_the_same_and_brings_the_evidence_first(client: OpenAI) -> None:
    whole = ask(client, said(QUESTION))
    chunks = list(ask(client, said(QUESTION), stream=True, stream_options={"include_usage": True}))
    assert [sample["id"] for sample in chunks[0].context] == [sample["id"] for sample in whole.context]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage == whole.usage
    assert not chunks[-1].choices


def test_several_answers_with_a_seed_differ_from_each_other_and_never_from_themselves(client: OpenAI) -> None:
    first, again = (ask(client, said(QUESTION), n=4, temperature=1.5, top_p=0.95, seed=3) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in again.choices]
    assert len(set(texts)) > 1
    other = ask(client, said(QUESTION), n=1, temperature=1.5, top_p=0.95, seed=4)
    assert other.choices[0].message.content == texts[1], "answer i uses seed + i"
    assert first.usage.completion_tokens <= 4 * 12


def test_no_share_of_probability_is_the_likeliest_token(client: OpenAI) -> None:
    whole = ask(client, said(QUESTION)).choices[0].message.content
    for share in (0, 1e-9):
        assert ask(client, said(QUESTION), top_p=share, temperature=1.5).choices[0].message.content == whole


def test_nothing_to_stop_at_is_nothing(client: OpenAI) -> None:
    whole = ask(client, said(QUESTION)).choices[0].message.content
    for stop in ("", [], ["", ""]):
        assert ask(client, said(QUESTION), stop=stop).choices[0].message.content == whole


def test_an_answer_ends_before_a_stop_word(client: OpenAI) -> None:
    text = ask(client, said(QUESTION)).choices[0].message.content
    word = text[3:5]
    for stop in (word, [word, "no such word"]):
        result = ask(client, said(QUESTION), stop=stop).choices[0]
        assert result.message.content == text[: text.index(word)].rstrip()
        assert result.finish_reason == "stop"
    pieces = [c.choices[0].delta.content or "" for c in ask(client, said(QUESTION), stop=word, stream=True)]
    assert "".join(pieces) == text[: text.index(word)].rstrip()


class TestContext:
    def test_none_where_no_shots_are_wanted(self, client: OpenAI) -> None:
        assert ask(client, said(QUESTION), extra_body={"shots": 0}).context == []

    def test_as_many_as_there_are(self, client: OpenAI) -> None:
        answer = ask(client, said(QUESTION), extra_body={"shots": 9, "mode": "text-text"})
        assert len(answer.context) == 4
        assert "4 of 9" in answer.notes[0]

    def test_the_given_samples_in_their_order(self, client: OpenAI, store_folder: Path) -> None:
        url = "data:image/png;base64," + base64.b64encode((store_folder.parent / "red.png").read_bytes()).decode()
        own = {"text": "my own", "image_url": url}
        samples = [{"id": "blue"}, own, {"id": "red"}]
        answer = ask(client, said(QUESTION), extra_body={"samples": samples})
        assert [(s["id"], s["text"], s["score"]) for s in answer.context] == [
            ("blue", "blue", None), ("given-1", "my own", None), ("red", "a red square", None),
        ]  # fmt: skip
        assert [bool(s["thumbnail_url"]) for s in answer.context] == [True, False, True]

    def test_unknown_names_are_said(self, client: OpenAI) -> None:
        for extra, word in [
            ({"store": "nowhere"}, "colours"),
            ({"samples": [{"id": "nobody"}]}, "nobody"),
            ({"mode": "sideways"}, "text-image"),
            ({"samples": [{}]}, r"samples\[0\]"),
        ]:
            with pytest.raises((BadRequestError, NotFoundError), match=word):
                ask(client, said(QUESTION), extra_body=extra)

    def test_openais_own_store_flag_is_not_ours(self, client: OpenAI) -> None:
        assert ask(client, said(QUESTION), store=False).context

    def test_a_filter_is_applied(self, client: OpenAI) -> None:
        with pytest.raises(BadRequestError, match="metadata"):
            ask(client, said(QUESTION), extra_body={"filter": {"kind": "none such"}})


class TestConversation:
    def test_history_changes_the_answer_but_not_the_search(self, client: OpenAI) -> None:
        history = [*said("what is this"), {"role": "assistant", "content": "a red square"}, *said(QUESTION)]
        alone, later = ask(client, said(QUESTION)), ask(client, history)
        assert later.context == alone.context
        assert later.usage.prompt_tokens > alone.usage.prompt_tokens

    def test_instructions_are_read_and_not_searched_by(self, client: OpenAI) -> None:
        alone = ask(client, said(QUESTION))
        told = ask(client, [{"role": "system", "content": "the capital of France is Paris"}, *said(QUESTION)])
        assert told.context == alone.context
        assert told.usage.prompt_tokens > alone.usage.prompt_tokens

    @pytest.mark.parametrize(
        ("messages", "word"),
        [
            ([{"role": "assistant", "content": "hello"}], "no question"),
            ([{"role": "system", "content": "be brief"}], "no question"),
            ([{"role": "user", "content": ""}], "empty"),
            ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "no question"),
            ([{"role": "tool", "content": "a", "tool_call_id": "x"}], "knows no calls of tools"),
        ],
    )
    def test_what_is_no_question(self, client: OpenAI, messages: Any, word: str) -> None:
        with pytest.raises(BadRequestError, match=word):
            ask(client, messages)


class TestKeptMessages:
    """Conversations as clients keep them."""

    def test_a_greeting_before_the_first_question_is_told_with_the_instructions(self, client: OpenAI) -> None:
        alone = ask(client, said(QUESTION))
        told = ask(client, [{"role": "assistant", "content": "Ask me about colours."}, *said(QUESTION)])
        system = {"role": "system", "content": "You began the conversation with: Ask me about colours."}
        assert told.choices[0].message.content == ask(client, [system, *said(QUESTION)]).choices[0].message.content
        assert told.context == alone.context
        assert told.usage.prompt_tokens > alone.usage.prompt_tokens
        for nothing in ("", None):
            silent = ask(client, [{"role": "assistant", "content": nothing}, *said(QUESTION)])
            assert silent.usage.prompt_tokens == alone.usage.prompt_tokens

    def test_what_the_assistant_would_not_say_is_part_of_the_talk(self, client: OpenAI) -> None:
        begun, text = said("what is this"), {"role": "assistant", "content": "I cannot tell"}
        part = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot tell"}]}
        plain, told = (ask(client, [*begun, answer, *said(QUESTION)]) for answer in (text, part))
        assert told.choices[0].message.content == plain.choices[0].message.content
        assert told.usage.prompt_tokens == plain.usage.prompt_tokens

    def test_the_official_clients_own_dump_goes_on(self, client: OpenAI) -> None:
        talk = said("what is this")
        answer = ask(client, talk).choices[0].message
        plain = ask(client, [*talk, {"role": "assistant", "content": answer.content}, *said(QUESTION)])
        for kept in (answer.model_dump(), answer.model_dump(exclude_none=True), answer):
            result = ask(client, [*talk, kept, *said(QUESTION)])
            assert result.choices[0].message.content == plain.choices[0].message.content

    @pytest.mark.parametrize(
        "extra",
        [
            {"id": "m1"}, {"annotations": []}, {"annotations": [{"type": "url_citation"}]}, {"tool_calls": None},
            {"tool_calls": []}, {"audio": None}, {"function_call": None}, {"name": "anna"}, {"timestamp": 1.5},
            {"reasoning_content": "hm"}, {"context": [{"id": "red"}]}, {"refusal": None}, {"metadata": {"a": [1]}},
        ],
    )  # fmt: skip
    def test_what_clients_add_is_not_looked_at(self, client: OpenAI, extra: dict[str, Any]) -> None:
        talk = [said("what is this")[0] | extra, {"role": "assistant", "content": "red"} | extra, *said(QUESTION)]
        assert ask(client, talk).choices[0].message.content

    @pytest.mark.parametrize("field", ["function_call", "audio"])
    def test_what_says_something_that_is_not_there_is_refused(self, client: OpenAI, field: str) -> None:
        talk = [*said("a"), {"role": "assistant", "content": "b", field: [{"id": "x"}]}, *said(QUESTION)]
        with pytest.raises(BadRequestError) as caught:
            ask(client, talk)
        assert caught.value.param == f"messages.1.{field}"

    def test_parts_with_hints_are_read(self, client: OpenAI, store_folder: Path) -> None:
        [message] = shown(QUESTION, store_folder.parent / "red.png")
        plain = ask(client, [message]).choices[0].message.content
        message["content"][0]["cache_control"] = {"type": "ephemeral"}
        message["content"][1]["image_url"]["detail"] = "original"
        assert ask(client, [message]).choices[0].message.content == plain


@pytest.mark.parametrize(
    ("before", "written"),
    [
        ("data:image/png;base64,", lambda data: base64.encodebytes(data).decode()),
        ("data:image/png;base64,", lambda data: base64.urlsafe_b64encode(data).decode().rstrip("=")),
        ("DATA:image/PNG;charset=utf-8;BASE64,", lambda data: base64.b64encode(data).decode()),
    ],
    ids=["in lines", "for addresses, without its end", "in capitals"],
)
def test_addresses_with_data_may_be_written_in_other_ways(
    client: OpenAI, store_folder: Path, before: str, written: Any
) -> None:
    [message] = shown(QUESTION, store_folder.parent / "red.png")
    plain = ask(client, [message]).choices[0].message.content
    data = (store_folder.parent / "red.png").read_bytes()
    message["content"][1]["image_url"]["url"] = before + written(data)
    assert ask(client, [message]).choices[0].message.content == plain


class TestRefusals:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("temperature", 3), ("top_p", -0.1), ("n", 17), ("n", 0), ("max_tokens", 0), ("max_tokens", 100_000),
            ("stop", ["a"] * 5), ("tools", [{"type": "function", "function": {"name": "f"}}]),
            ("logit_bias", {"5": 10}), ("top_logprobs", 2),
        ],
    )  # fmt: skip
    def test_what_cannot_be_done(self, client: OpenAI, field: str, value: Any) -> None:
        with pytest.raises(BadRequestError) as caught:
            ask(client, said(QUESTION), **{"max_tokens": 4, field: value})
        assert caught.value.type == "invalid_request_error"

    def test_another_model(self, client: OpenAI) -> None:
        with pytest.raises(NotFoundError, match="there is: tiny"):
            client.chat.completions.create(model="gpt-4o", messages=said("a"))

    def test_a_question_that_is_too_long(self, client: OpenAI) -> None:
        for stream in (False, True):
            with pytest.raises(BadRequestError, match=r"more than the 512.*answer \(max_tokens, max_comp") as refused:
                ask(client, said("word " * 1000), stream=stream)
            assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "messages")

    def test_other_interfaces_call_what_is_too_long_by_their_own_name(self, client: OpenAI) -> None:
        with pytest.raises(BadRequestError, match="max_output_tokens in /v1/responses") as refused:
            client.responses.create(model="tiny", input="word " * 1000)
        assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "input")
        with pytest.raises(BadRequestError, match="more than the 512") as refused:
            client.completions.create(model="tiny", prompt="word " * 1000, stream=True)
        assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "prompt")

    @pytest.mark.parametrize(
        "url",
        [
            "data:image/png;base64,AAAA", "data:image/png;base64,%%%", "data:text/html,<p>", "file:///etc/passwd",
            "ftp://example.org/a.png", "/etc/passwd", "http://127.0.0.1/a.png", "",
        ],
    )  # fmt: skip
    def test_pictures_that_are_none(self, client: OpenAI, url: str) -> None:
        with pytest.raises(BadRequestError):
            ask(client, [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])

    def test_too_many_pixels(self, make_service: MakeService, serve: Serve, store_folder: Path) -> None:
        with serve(make_service(max_pixels=1000)) as address:
            client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
            with pytest.raises(BadRequestError, match="million pixels"):
                ask(client, shown(QUESTION, store_folder.parent / "red.png"))


def test_without_max_tokens_the_answer_becomes_as_long_as_there_is_room(client: OpenAI) -> None:
    question = "word " * 60
    used = ask(client, said(question), max_tokens=1).usage.prompt_tokens
    assert 300 < used < 512
    response = client.chat.completions.create(model="tiny", messages=said(question))
    assert response.usage.completion_tokens <= 512 - used


class TestLongQuestions:
    """What cannot be answered is refused before it costs anything."""

    def test_a_huge_one_is_refused_from_its_length(self, make_service: Any, serve: Any, monkeypatch: Any) -> None:
        service = make_service()

        def touched(*arguments: Any) -> Any:
            raise AssertionError("nobody is to look at this text")

        monkeypatch.setattr(service.shelves["colours"], "search", touched)
        monkeypatch.setattr(service.engine._engine, "prepare", touched)
        body = {"model": "tiny", "messages": [{"role": "user", "content": "word " * 150_000}] * 20}
        with serve(service) as address:
            answer = httpx.post(f"{address}/v1/chat/completions", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "context_length_exceeded")
        assert "characters" in answer.json()["error"]["message"]

    @pytest.mark.parametrize(("error", "status"), [(TooLargeError("never"), 413), (BusyError("not now"), 429)])
    def test_no_memory_has_a_status_of_its_own(
        self, make_service: Any, serve: Any, monkeypatch: Any, error: Exception, status: int
    ) -> None:
        service = make_service()

        async def refuse(request: Any) -> Any:
            raise error

        monkeypatch.setattr(service.engine._engine, "prepare", refuse)
        body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "stream": True}
        with serve(service) as address:
            answer = httpx.post(f"{address}/v1/chat/completions", json=body)
        assert answer.status_code == status
        assert ("retry-after" in answer.headers) == (status == 429)
        assert (answer.json()["error"]["code"] == "context_length_exceeded") == (status == 413)


class TestWhatClientsAskFor:
    def test_an_answer_in_json(self, client: OpenAI) -> None:
        pytest.importorskip("llguidance")
        schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"],
                  "additionalProperties": False}  # fmt: skip
        form = {"type": "json_schema", "json_schema": {"name": "colour", "schema": schema, "strict": True}}
        answer = ask(client, said(QUESTION), 40, response_format=form, temperature=1.5, seed=1)
        assert json.loads(answer.choices[0].message.content)["colour"] in ("red", "blue")
        with pytest.raises(BadRequestError, match="response_format can be"):
            ask(client, said(QUESTION), response_format={"type": "yaml"})

    def test_probabilities_with_the_tokens(self, client: OpenAI) -> None:
        answer = ask(client, said(QUESTION), 5, logprobs=True, top_logprobs=3)
        told = answer.choices[0].logprobs.content
        assert len(told) == answer.usage.completion_tokens
        assert all(len(entry.top_logprobs) == 3 and entry.logprob <= 0 for entry in told)
        chunks = list(ask(client, said(QUESTION), 5, logprobs=True, stream=True))
        streamed = [
            part for chunk in chunks for choice in chunk.choices if choice.logprobs for part in choice.logprobs.content
        ]
        assert [entry.token for entry in streamed] == [entry.token for entry in told]

    def test_penalties_and_ways_to_sample(self, client: OpenAI) -> None:
        plain = ask(client, said(QUESTION), 30).choices[0].message.content
        assert ask(client, said(QUESTION), 30, frequency_penalty=2).choices[0].message.content != plain
        same = ask(
            client, said(QUESTION), 30, temperature=2, extra_body={"top_k": 1, "min_p": 0.9, "repetition_penalty": 1}
        )
        assert same.choices[0].message.content == plain
        with pytest.raises(BadRequestError):
            ask(client, said(QUESTION), presence_penalty=3)

    def test_evidence_is_cited_too(self, client: OpenAI) -> None:
        answer = ask(client, said(QUESTION))
        cited = [annotation.url_citation for annotation in answer.choices[0].message.annotations]
        assert [citation.title for citation in cited] == [sample["id"] for sample in answer.context] != []
        assert {citation.end_index for citation in cited} == {len(answer.choices[0].message.content)}
        assert all(citation.url.startswith("http://127.0.0.1") for citation in cited)

    def test_only_what_chats_is_listed(self, client: OpenAI) -> None:
        assert [model.id for model in client.models.list()] == ["tiny"]
        assert client.models.retrieve("hashed").id == "hashed"


@pytest.mark.parametrize("instead", [{"shots": 0}, {"samples": [{"text": "red"}]}, {}])
def test_a_datastore_and_a_mode_that_are_not_there_are_refused_also_where_nothing_is_searched(
    client: OpenAI, instead: dict[str, Any]
) -> None:
    with pytest.raises(NotFoundError, match="no datastore 'nope' here") as lost:
        ask(client, said(QUESTION), extra_body={"store": "nope", **instead})
    assert lost.value.param == "store"
    with pytest.raises(BadRequestError, match=r"retrieval mode 'abc' is unknown.*text-image") as unknown:
        ask(client, said(QUESTION), extra_body={"mode": "abc", **instead})
    assert unknown.value.param == "mode"
    with pytest.raises(NotFoundError, match="no datastore 'nope' here"):
        client.completions.create(model="tiny", prompt=QUESTION, extra_body={"store": "nope", **instead})
