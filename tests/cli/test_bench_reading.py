"""`camml bench-data reading` and `mix` as people call them, and `build --set ownpix`."""

import json
from pathlib import Path

import pytest

from camml.cli import main
from tests.ownpix.conftest import catalogue

__all__ = ["catalogue"]


def test_reading_data_is_written_and_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench-data", "reading", "--out", "odd name/a", "--rows", "12"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("odd name/a: 12 rows (0 with a picture), ")
    assert main(["bench-data", "reading", "--out", "b", "--rows", "3", "--seed", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 3
    parts = ["--part", "odd name/a/conversations.json", "odd name/a/neighbors"]
    mixed = ["bench-data", "mix", "--out", "mixed", *parts, "--part", "b/conversations.json", "b/neighbors"]
    assert main(mixed) == 0
    assert capsys.readouterr().out.startswith("mixed: 15 rows: 12 of odd name/a/conversations.json, 3 of b/")
    rows = json.loads(Path("b/conversations.json").read_text())
    Path("b/conversations.json").write_text(json.dumps(rows))
    assert main([*mixed[:3], "again", *mixed[4:]]) == 2  # another file than the table was made of
    assert "computed from another dataset" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["reading", "--out", "x", "--rows", "0"], "--rows is 0; it must be 1 or more"),
        (["reading", "--out", "x", "--context-tokens", "12"], "--context-tokens is 12; it must be 40 or more"),
        (["reading", "--out", "x", "--room", "12"], "--context-tokens is 12"),  # the flag's earlier name
        (["reading", "--out", "x", "--pictures", "nowhere"], "is not a file of a FactPix build; build it with"),
        (["mix", "--out", "x", "--part", "a", "b"], "two parts or more to mix, not 1"),
        (["mix", "--out", "x", "--part", "a", "b", "--part", "c", "d"], "a: cannot be read"),
        (["build", "--out", "x", "--set", "mine"], "no set 'mine'; there are: factpix, ownpix"),
    ],
)
def test_a_mistake_is_one_line(
    command: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench-data", *command]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("x").exists()


@pytest.mark.long
@pytest.mark.absolute_paths
def test_ownpix_is_built(catalogue: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ownpix"
    assert main(["bench-data", "build", "--set", "ownpix", "--out", str(out), "--size", "small"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: pictures: ")
    assert "unanswerable" in said
    assert len(json.loads((out / "samples.json").read_text())) == 40
