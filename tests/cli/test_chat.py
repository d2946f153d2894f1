"""`camml chat`, with its lines piped in."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from camml import encoders
from camml.answering.perceiver import PerceiverAnswerer
from camml.cli import main
from camml.datastore import Datastore
from tests import tiny


@pytest.fixture
def talk(
    tmp_path: Path, camml_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[str, str]]:
    """Say lines, one after the other: what is printed, and on standard error."""
    Datastore.build(tmp_path / "store", tiny.samples(tmp_path), encoders.load("hashed"))

    def run(*lines: str, more: tuple[str, ...] = (), code: int = 0) -> tuple[str, str]:
        typed = ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), "utf-8"))
        options = ["--store", tmp_path / "store", "--model", camml_folder, "--max-new-tokens", "3", *more]
        assert main(["chat", *map(str, options)]) == code
        return tuple(capsys.readouterr())

    return run


@pytest.mark.long
def test_it_answers_line_by_line_and_shows_the_evidence_when_asked(talk, tmp_path: Path) -> None:
    said, errors = talk(
        "/evidence", "a red square", "", "/evidence", f"/image {tmp_path / 'blue.png'}", "what", "/evidence"
    )
    assert errors == ""
    shown = [line.split()[1] for line in said.splitlines() if line[:8].strip().replace(".", "").isdigit()]
    assert said.startswith("nothing was asked yet\n")
    assert (shown[0], shown[3]) == ("red", "blue")


@pytest.mark.long
def test_what_is_wrong_ends_a_turn_and_not_the_conversation(talk, tmp_path: Path) -> None:
    lines = [f"/image {tmp_path / 'gone.png'}", "/sing", "/help", "a red square", "/quit", "never asked"]
    said, errors = talk(*lines, code=2)  # for what piped them in
    assert "gone.png" in errors
    assert "no command '/sing'; there are: /image" in errors
    assert "/forget" in said


@pytest.mark.long
def test_it_remembers_what_was_said_until_it_is_to_forget(talk, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    stream = PerceiverAnswerer.stream

    def watched(self, query, context, decoding=None):
        seen.append([turn.question for turn in query.history])
        return stream(self, query, context, decoding)

    monkeypatch.setattr(PerceiverAnswerer, "stream", watched)
    talk("one", "two", "/forget", "three", "/image", "four")
    assert seen == [[], ["one"], [], []]


def test_what_is_refused_is_said_and_not_remembered(talk) -> None:
    said, _ = talk("zebra", more=("--min-score", "1"))
    assert said.splitlines()[0] == "not in the samples"
    assert "refused: no sample is near enough" in said


def test_a_line_that_is_not_utf_8_ends_its_turn_and_not_the_conversation(talk) -> None:
    said, errors = talk("caf\udce9", "/help", code=2)
    assert "the question is not UTF-8 text" in errors
    assert "/forget" in said


def test_options_of_a_datastore_without_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--where", "k=1", "--shots", "3", "--model", "nowhere/at/all"]) == 2
    assert "--where, --shots are for samples; name a datastore with --store\n" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--image", "--store"])
def test_an_empty_option_is_refused_before_anything_is_loaded(option: str, capsys) -> None:
    assert main(["chat", option, "", "--model", "nowhere/at/all"]) == 2
    assert f"{option} is empty; give what it is to name" in capsys.readouterr().err
