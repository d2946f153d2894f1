"""`camml ask`, where a server of this user runs that has the datastore already."""

import json
import os
import platform
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from camml import __version__, encoders, running
from camml.cli import build_parser, main
from camml.cli.serve import _running, read_settings
from camml.datastore import Datastore
from camml.running import Running, folder
from tests import tiny
from tests.test_running import answering

REPLY = {
    "choices": [{"message": {"content": "It is red."}}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 2},
    "context": [
        {"id": "red", "text": "Large. a red square", "score": 0.9, "found_by": "text-text", "passages": None,
         "meta": {"n": 1}, "supporting": "a red square", "thumbnail_url": "http://localhost/v1/x", "store": "colours"},
    ],
    "notes": ["a note"],
    "refused": False,
    "reason": "",
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CAMML_API_KEY", raising=False)
    monkeypatch.setattr(running, "LIFE_SECONDS", 60.0)  # a machine that runs tests may be slow
    Datastore.build(tmp_path / "store", tiny.samples(tmp_path), encoders.load("hashed"))
    return tmp_path / "store"


@pytest.fixture
def server(store: Path) -> Running:
    stores = {os.path.realpath(store): "colours"}
    return Running(
        platform.node(), os.getpid(), "http://127.0.0.1:8000", __version__, "camml-mini", "camml-mini", stores,
        "refuse", False,
    )  # fmt: skip


class Here(BaseException):
    """This process would answer now."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Questions that are answered by this process, which ends there."""
    asked: list[str] = []

    def stop(args: Any) -> None:
        asked.append(args.question)
        raise Here

    monkeypatch.setattr("camml.cli.ask.assistant_of", stop)
    return asked


def ask(*options: str) -> None:
    with suppress(Here):
        assert main(["ask", "Which colour?", *options]) == 0


def test_the_running_server_is_asked(server: Running, store: Path, here: list[str], capsys: Any) -> None:
    picture = tiny.image(store.parent, "query", (1, 2, 3))
    with answering(server, reply=REPLY) as seen:
        ask("--store", f"{store}/../store", "--image", str(picture), "--where", "n<=1", "--shots", "1")
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "It is red."
    assert f"0.9000  red  {store.parent / 'red.png'}" in said.out
    assert "from: a red square" in said.out
    assert "note: a note" in said.out
    assert said.err.count("\n") == 1
    assert "http://127.0.0.1:8000" in said.err
    assert "--no-server" in said.err
    [body] = seen
    assert (body["path"], body["store"], body["shots"]) == ("/v1/chat/completions", "colours", 1)
    assert body["filter"] == {"n": {"<=": "1"}}
    assert here == []


def test_json_is_as_that_of_an_answer_from_here(server: Running, store: Path, here: list[str], capsys: Any) -> None:
    with answering(server, reply=REPLY):
        ask("--store", str(store), "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["context"] == [
        {"id": "red", "text": "Large. a red square", "image": str(store.parent / "red.png"), "meta": {"n": 1},
         "score": 0.9, "found_by": "text-text", "supporting": "a red square"}
    ]  # fmt: skip
    facts = {"question", "image", "answer", "context", "seconds", "refused", "reason", "prompt", "prompt_tokens"}
    assert document.keys() == facts | {"new_tokens", "notes"}


def test_without_a_datastore_it_answers_without_samples(server: Running, here: list[str]) -> None:
    with answering(server, reply={**REPLY, "context": []}) as seen:
        ask()
    assert (seen[0]["shots"], "store" in seen[0]) == (0, False)


@pytest.mark.parametrize(
    "options",
    [["--no-server"], ["--min-score", "0"], ["--seed", "3"], ["--passages", "off"], ["--fallback", "model"],
     ["--device", "cpu"], ["--stream"], ["--attribute"], ["--rerank", "x"], ["--model", "other"],
     ["--encoder", "hashed"]],
    ids=lambda options: options[0],
)  # fmt: skip
def test_what_it_would_answer_otherwise_is_answered_here(
    server: Running, store: Path, here: list[str], options: list[str]
) -> None:
    with answering(server, reply=REPLY) as seen:
        ask("--store", str(store), *options)
    assert (seen, here) == ([], ["Which colour?"])


def test_another_server_is_not_asked(server: Running, store: Path, here: list[str]) -> None:
    for other in (
        replace(server, stores={"/elsewhere": "colours"}),
        replace(server, version="0"),
        replace(server, model="other"),
        replace(server, needs_key=True),
        replace(server, fallback="model"),
        replace(server, host="another machine"),
    ):
        with answering(other, reply=REPLY) as seen:
            ask("--store", str(store))
        assert seen == []
    assert len(here) == 6


def test_a_key_that_cannot_be_sent_is_not_told(
    server: Running, store: Path, here: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAMML_API_KEY", "secret\nkey")
    with answering(server, reply=REPLY) as seen:
        ask("--store", str(store))
    said = capsys.readouterr().err
    assert (seen, here) == ([], ["Which colour?"])
    assert "the API key in CAMML_API_KEY holds a character" in said
    assert "secret" not in said


def test_a_key_that_is_there_is_shown(
    server: Running, store: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMML_API_KEY", "secret-key")
    with answering(replace(server, needs_key=True), reply=REPLY) as seen:
        ask("--store", str(store))
    assert seen[0]["key"] == "Bearer secret-key"
    assert here == []


@pytest.mark.parametrize(("status", "reply"), [(401, None), (503, None), (200, {"odd": 1}), (200, [1])])
def test_a_server_that_does_not_answer_is_named_and_it_is_answered_here(
    server: Running, store: Path, here: list[str], capsys: Any, status: int, reply: object
) -> None:
    with answering(server, status, reply) as seen:
        ask("--store", str(store))
    assert len(seen) == 1
    assert here == ["Which colour?"]
    assert "did not answer" in capsys.readouterr().err


def test_a_suspended_server_is_named_and_it_is_answered_here(
    server: Running, store: Path, here: list[str], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SECONDS", 5.0)
    monkeypatch.setattr(running, "LIFE_SECONDS", 0.1)
    with running.private_socket(server):  # which listens, and never answers
        ask("--store", str(store))
    assert here == ["Which colour?"]
    said = capsys.readouterr().err
    assert "http://127.0.0.1:8000 did not answer (no sign of life from process" in said
    assert "is it suspended?); answering here" in said
    assert said.count("\n") == 1


def test_a_server_that_has_ended_is_forgotten(server: Running, store: Path, here: list[str]) -> None:
    with answering(server):
        [note] = folder().glob("*.json")
        text = note.read_text()
    note.write_text(text)
    note.chmod(0o600)
    ask("--store", str(store))
    assert here == ["Which colour?"]
    assert not note.exists()


def test_a_bad_picture_is_said_once(server: Running, store: Path, capsys: Any) -> None:
    with answering(server) as seen:
        assert main(["ask", "what", "--store", str(store), "--image", "nowhere.png"]) == 2
    assert seen == []
    assert capsys.readouterr().err.count("nowhere.png") == 1


def test_a_server_is_found_unless_it_answers_otherwise_than_the_command_would(store: Path, tmp_path: Path) -> None:
    def about(*options: str) -> Running | None:
        given = ["serve", "--store", f"plant={store}", *options]
        return _running(read_settings(build_parser().parse_args(given)), "http://127.0.0.1:1")

    usual = about("--fallback", "model", "--engine-option", "slots=4")
    assert usual is not None
    assert usual.stores == {os.path.realpath(store): "plant"}
    assert (usual.model, usual.version, usual.fallback, usual.needs_key) == ("camml-mini", __version__, "model", False)
    keys = tmp_path / "keys"
    keys.write_text("first-secret\n")
    with_keys = about("--api-keys", str(keys))
    assert with_keys is not None
    assert with_keys.needs_key
    assert "first-secret" not in repr(with_keys)
    for options in (
        ["--min-score", "0.1"], ["--encoder", "hashed"], ["--rerank", "x"], ["--weights", "image=1"],
        ["--passages", "off"], ["--engine-option", "dtype=bfloat16"],
    ):  # fmt: skip
        assert about(*options) is None
    moved = about("--store-images", f"plant={tmp_path}")
    assert moved is not None
    assert moved.stores == {}
