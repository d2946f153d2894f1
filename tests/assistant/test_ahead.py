"""A model is loaded in a thread while samples are found: the same answers and errors, and nothing waits in vain."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from camml import answering
from camml.assistant import Assistant
from camml.assistant.ahead import BackgroundValue, is_busy
from camml.cli import main
from camml.datastore import Datastore
from camml.encoders import load as load_encoder
from camml.errors import ModelFolderError
from camml.retriever import Retriever
from camml.types import Sample
from tests import tiny

ARGUMENTS = ("--max-new-tokens", "4", "--no-server", "--json")


@pytest.fixture
def ask(camml_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Ask a tiny model that answers from a datastore: exit code, standard output, standard error."""
    model = tmp_path / "model"
    shutil.copytree(camml_folder, model)
    (model / "retrieval.json").write_text(json.dumps({"encoder": "hashed", "encoder_options": {"joint": True}}))
    Datastore.build(
        tmp_path / "store", tiny.samples(tmp_path), load_encoder("hashed", joint=True), encoder_options={"joint": True}
    )

    def ask(*more: str) -> tuple[int, str, str]:
        where = ("--store", str(tmp_path / "store"), "--model", str(model))
        code = main(["ask", "a red square", *where, *ARGUMENTS, *more])
        return code, *capsys.readouterr()

    return ask


@pytest.fixture
def forever() -> Iterator[Callable[..., Any]]:
    """A function that takes until the test has ended."""
    ended = threading.Event()

    def waiting(*_: Any, **__: Any) -> Any:
        while not ended.wait(0.01):  # so that Ctrl-C gets through
            pass

    yield waiting
    ended.set()


@pytest.mark.long
def test_a_model_is_loaded_in_a_thread_and_answers_the_same(ask, monkeypatch) -> None:
    load, threads = answering.load, list[str]()

    def noted(*given: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return load(*given, **options)

    monkeypatch.setattr(answering, "load", noted)
    code, beside, _ = ask()
    monkeypatch.setattr("camml.assistant.choose_dtype", lambda *_: "as if of 16 bits")
    _, alone, _ = ask()
    assert (code, threads) == (0, ["camml-ahead", "MainThread"])
    first, second = json.loads(beside), json.loads(alone)
    assert [first.pop("seconds").keys(), first] == [second.pop("seconds").keys(), second]


def test_weights_in_16_bits_are_loaded_when_they_are_needed(ask, monkeypatch) -> None:
    threads = list[str]()

    def noted(*given: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        raise ModelFolderError("noted")

    monkeypatch.setattr(answering, "load", noted)
    ask("--dtype", "bfloat16")
    assert threads == ["MainThread"]


def test_a_failure_of_the_thread_is_told_as_it_would_be_otherwise(ask, tmp_path: Path) -> None:
    [weights] = (tmp_path / "model").glob("*.safetensors")
    weights.write_bytes(b"damaged")
    code, output, errors = ask()
    said = [line for line in errors.splitlines() if line.startswith("camml: error: ")]
    assert (code, output, len(said), "cannot be loaded" in said[0]) == (2, "", 1, True)
    assert "Traceback" not in errors


def test_a_failure_while_samples_are_found_does_not_wait_for_the_model(ask, monkeypatch, forever) -> None:
    monkeypatch.setattr(answering, "load", forever)
    code, _, errors = ask("--mode", "image-image")
    assert code == 2
    assert "camml: error: " in errors


def test_a_load_that_nobody_waits_for_is_left_alone(camml_folder: Path, monkeypatch) -> None:
    """An exception raised in it from outside left locks of Python itself held, and all later threads waiting."""
    left = threading.Event()

    def load(*_: Any, **__: Any) -> str:
        assert left.wait(60)
        return threading.current_thread().name

    monkeypatch.setattr(answering, "load", load)
    assistant = Assistant(camml_folder)
    with assistant.loading():
        pass  # refused, so that the model is not asked
    left.set()
    assert assistant.answerer == "camml-ahead", "it is loaded once, in its thread"


IN_A_PROCESS = """
import sys, time
from camml import __main__, answering
answering.load = lambda *_, **__: time.sleep(300)
sys.argv = ["camml", *sys.argv[1:]]
sys.exit(__main__.main())
"""


@pytest.mark.long
def test_a_command_ends_although_its_model_is_still_being_loaded(camml_folder: Path, tmp_path: Path) -> None:
    Datastore.build(tmp_path / "store", [Sample("a", "a red square", None, {"hall": "A"})], load_encoder("hashed"))
    asked = ["ask", "what", "--store", "store", "--model", str(camml_folder), "--no-server"]
    for options, code, said in (
        (["--where", "hall=B"], 0, "refused: there is no sample to answer from"),
        (["--mode", "image-image"], 2, "camml: error: "),
    ):
        done = subprocess.run([sys.executable, "-c", IN_A_PROCESS, *asked, *options], cwd=tmp_path,
                              capture_output=True, text=True, timeout=120)  # fmt: skip
        assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have Ctrl-C raise, as in a terminal: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("when", ["finding", "waiting for the model"])
def test_ctrl_c_ends_both(when: str, ask, monkeypatch, forever) -> None:
    def interrupting(*_: Any, **__: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        forever()

    monkeypatch.setattr(answering, "load", forever if when == "finding" else interrupting)
    if when == "finding":
        monkeypatch.setattr(Retriever, "retrieve", interrupting)
    started = time.monotonic()
    code, _, errors = ask()
    assert (code, "camml: interrupted" in errors) == (130, True)
    assert time.monotonic() - started < 60


def test_what_a_thread_raises_is_raised_where_it_is_asked_for() -> None:
    def fail() -> None:
        raise ValueError("no")

    made = BackgroundValue(fail)
    made.start()
    with pytest.raises(ValueError, match="no"):
        made.result()
    assert not is_busy()
