"""A model behind an endpoint: what it is sent, what comes back."""

import base64
import io
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from camml.answering import Decoding, api, load
from camml.chat_api import ChatApi
from camml.errors import FetchError, OptionError, UnknownNameError
from camml.types import Neighbor, Query
from tests import tiny
from tests.chat_server import chat_server


def sent(request: dict) -> tuple[list[str], list[Image.Image]]:
    """The texts and pictures of a request."""
    [message] = request["messages"]
    parts = message["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    pictures = [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls]
    return [part["text"] for part in parts if part["type"] == "text"], pictures


def context(folder: Path) -> tuple[Neighbor, ...]:
    return tuple(Neighbor(sample, 0.5) for sample in tiny.samples(folder)[1:3])


def test_texts_and_pictures_are_sent_and_the_answer_comes_back(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    query = Query("Which colour?", tiny.image(tmp_path, "query", (220, 20, 20), (12, 9)))
    with chat_server(lambda request, number: " red\n") as (url, requests):
        answerer = load("api", "some/model", base_url=url)
        [answer] = answerer.answer([query], [context(tmp_path)], Decoding(7))
        blind = load("api", "m", base_url=url, see=False)
        [unseen] = blind.answer([query], [context(tmp_path)])
    texts, pictures = sent(requests[0])
    assert texts[0] == "Picture of text 1:"
    assert texts[1] == "Picture of the question:"
    assert texts[2] == (
        "the capital of France is Paris, they say\n\na text without any image\n\nQuestion: Which colour?"
    )
    assert [picture.size for picture in pictures] == [(30, 60), (12, 9)]
    assert pictures[1].getpixel((11, 0)) == (220, 20, 20)
    assert (requests[0]["model"], requests[0]["max_tokens"], requests[0]["temperature"]) == ("some/model", 7, 0)
    assert requests[0]["authorization"] == "Bearer secret"
    assert (answer.text, answer.notes, answer.prompt.count("<image>")) == ("red", (), 2)
    assert sent(requests[1])[1] == []
    assert unseen.notes == ("the model was sent no pictures",)


def test_answers_come_in_the_order_of_the_questions(tmp_path: Path) -> None:
    def reply(request: dict, number: int) -> str:
        return request["messages"][0]["content"][-1]["text"].removesuffix("?")

    with chat_server(reply) as (url, _):
        answer = load("api", "m", base_url=url).answer([Query(f"q{n}?") for n in range(20)], [()] * 20)
    assert [sample.text for sample in answer] == [f"q{n}" for n in range(20)]


def test_tokens_are_those_of_the_endpoint(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 31, "completion_tokens": 2}
    with chat_server(lambda request, number: "yes", usage) as (url, _):
        [answer] = load("api", "m", base_url=url).answer([Query("?")], [()])
    assert (answer.prompt_tokens, answer.new_tokens) == (31, 2)


def test_sampling_is_passed_on() -> None:
    with chat_server(lambda request, number: "yes") as (url, requests):
        load("api", "m", base_url=url).answer([Query("?")], [()], Decoding(5, 0.7, 0.9, 3))
    assert {name: requests[0][name] for name in ("temperature", "top_p", "seed")} == {
        "temperature": 0.7, "top_p": 0.9, "seed": 3
    }  # fmt: skip


def test_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(OptionError, match="needs a key in OPENAI_API_KEY"):
        load("api", "m")
    with pytest.raises(UnknownNameError, match="no prompt style 'x'"):
        load("api", "m", base_url="http://127.0.0.1:9/v1", prompt_style="x")
    with chat_server(lambda request, number: 404) as (url, _), pytest.raises(FetchError, match="refuses model 'm'"):
        load("api", "m", base_url=url).answer([Query("?")], [()])


def test_a_reply_without_an_answer_is_none() -> None:
    silent = {"message": {"content": None, "reasoning_content": "It is red"}, "finish_reason": "length"}
    with chat_server(lambda *_: silent) as (url, _):
        answerer = load("api", "m", base_url=url)
        [answer] = answerer.answer([Query("Which colour?")], [()])
        assert (answer.text, answer.unanswered) == ("", "empty reply, finish_reason length")
        assert answer.notes == ("no answer: empty reply, finish_reason length",)
        with pytest.raises(FetchError, match="gave no answer: empty reply, finish_reason length"):
            list(answerer.stream(Query("Which colour?"), ()))


def test_after_an_error_nothing_is_tried_again_and_nobody_waits() -> None:
    def reply(request: dict, number: int) -> str | int:
        return {"q0": "fine", "q1": 404}.get(sent(request)[0][0], 503)

    rested = threading.Event()
    with chat_server(reply) as (url, requests):
        answerer = api.ApiAnswerer(ChatApi("m", url, sleep=lambda _: rested.wait(10)))
        with pytest.raises(FetchError, match="refuses model 'm'"):
            answerer.answer([Query(f"q{n}") for n in range(40)], [()] * 40)
        rested.set()
        workers = [thread for thread in threading.enumerate() if thread.name == api.WORKER]
        for worker in workers:
            worker.join(20)
        assert not any(worker.is_alive() for worker in workers)
    questions = [sent(request)[0][0] for request in requests]
    assert len(set(questions)) == len(questions) < 40


@pytest.mark.long
def test_ctrl_c_ends_the_process_while_requests_are_under_way() -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from camml.answering import load\nfrom camml.types import Query\n"
        "load('api', 'm', base_url=sys.argv[1]).answer([Query('?')] * 20, [()] * 20)"
    )
    asked, over = threading.Event(), threading.Event()

    def reply(request: dict, number: int) -> str:
        if number == 1 + api.PARALLEL:
            asked.set()
        if number > 1:
            over.wait(300)
        return "fine"

    with chat_server(reply) as (url, requests):
        program = subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE, text=True)
        try:
            assert asked.wait(200)
            program.send_signal(signal.SIGINT)
            assert "KeyboardInterrupt" in program.communicate(timeout=100)[1]
            assert len(requests) == 1 + api.PARALLEL
        finally:
            over.set()
            program.kill()
            program.wait(30)
