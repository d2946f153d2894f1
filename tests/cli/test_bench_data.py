"""The verb `bench-data` as people call it."""

import json
from pathlib import Path

import pytest

from camml.cli import main
from camml.errors import FetchError
from camml.factpix.topics import maps
from tests.factpix.conftest import world

__all__ = ["world"]


@pytest.mark.long
@pytest.mark.absolute_paths
def test_builds_and_says_what_there_is(world: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "factpix"
    command = ["bench-data", "build", "--out", str(out), "--size", "small", "--topics", "flags"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: pictures: ")
    assert "heldout" in said
    assert main([*command, "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts["samples"] == len(json.loads((out / "samples.json").read_text()))
    assert f"; {counts['samples']} samples; " in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "middling"], "no size 'middling'; there are: small, full"),
        (["--topics", "flags,cars"], "no topic 'cars'; there are: emoji, flags, maps, stamps"),
        (["--processes", "0"], "--processes is 0; it must be 1 or more"),
        (["--seed", "x"], "invalid int value: 'x'"),
    ],
)
def test_a_mistake_is_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = main(["bench-data", "build", "--out", str(tmp_path / "new"), *options])
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.count("\n") == 1


def test_without_debian_packages_the_rest_is_offered(
    world: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unavailable() -> None:
        raise FetchError("kgeography-data is a Debian package")

    monkeypatch.setattr(maps, "entries", unavailable)
    assert main(["bench-data", "build", "--out", str(tmp_path), "--topics", "maps,flags,emoji"]) == 2
    assert "it can be built with --topics emoji,flags" in capsys.readouterr().err


def test_passages_need_a_number_of_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench-data", "reading", "--out", str(tmp_path / "new"), "--rows", "2", "--passages"]) == 2
    assert "--context-tokens" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
