"""`camml convert`, and the script under the official name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from camml.cli import main

SCRIPT = Path(__file__).parents[2] / "scripts" / "convert_sqa_to_llava.py"


@pytest.fixture
def base_dir(tmp_path: Path) -> Path:
    problem = {
        "question": "Which is hot?", "choices": ["ice", "fire"], "answer": 1, "hint": "", "image": None,
        "lecture": "", "solution": "Fire is.",
    }  # fmt: skip
    (tmp_path / "problems.json").write_text(json.dumps({"1": problem}))
    (tmp_path / "pid_splits.json").write_text(json.dumps({"train": ["1"], "minitest": []}))
    return tmp_path


@pytest.mark.absolute_paths
def test_scienceqa_is_written_to_the_folder_and_said(base_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "scienceqa", "--base-dir", str(base_dir), "--split", "train"]) == 0
    path = base_dir / "llava_train_QCM-LEPA.json"
    assert capsys.readouterr().out == f"wrote {path}, 1 samples\n"
    assert json.loads(path.read_text())[0]["conversations"][1]["value"] == "SOLUTION: Fire is.\n###\nANSWER: B."


@pytest.mark.absolute_paths
def test_the_result_as_json(base_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = base_dir / "out.json"
    flags = ["--base-dir", str(base_dir), "--split", "train", "--prompt-format", "CQM-A", "--out", str(out), "--json"]
    assert main(["convert", "scienceqa", *flags]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(out), "samples": 1}
    assert json.loads(out.read_text())[0]["conversations"][1]["value"] == "B"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--split", "dev"], "no split 'dev'"),
        (["--split", "train", "--prompt-format", "XYZ"], "no prompt format 'XYZ'"),
        (["--split", "train", "--out", "/nowhere/a.json"], "cannot write /nowhere/a.json"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    flags: list[str], expected: str, base_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "scienceqa", "--base-dir", str(base_dir), *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("camml: error: ")
    assert expected in error
    assert error.count("\n") == 1


def test_several_splits_are_written_at_once(base_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--base-dir", str(base_dir), "--split", "train", "minitest"]
    assert main(["convert", "scienceqa", *flags, "--json"]) == 0
    assert [result["samples"] for result in json.loads(capsys.readouterr().out)] == [1, 0]
    assert (base_dir / "llava_minitest_QCM-LEPA.json").is_file()
    assert main(["convert", "scienceqa", *flags, "--out", str(base_dir / "one.json")]) == 2
    assert "--out names one file" in capsys.readouterr().err


def test_a_file_named_by_out_is_replaced_only_when_that_is_asked_for(
    base_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["convert", "scienceqa", "--base-dir", str(base_dir), "--split", "train"]
    problems = base_dir / "problems.json"
    before = problems.read_bytes()
    assert main([*flags, "--out", str(problems)]) == 2
    assert "problems.json is there already; give another name, or --overwrite" in capsys.readouterr().err
    assert problems.read_bytes() == before
    out = base_dir / "out.json"
    out.write_text("mine")
    assert main([*flags, "--out", str(out), "--overwrite"]) == 0
    assert json.loads(out.read_text())
    assert main(flags) == main(flags) == 0  # its own name, as the official converter
    with pytest.raises(SystemExit):
        main([*flags, "--help"])
    assert "without --out the default file is always replaced" in " ".join(capsys.readouterr().out.split())


def test_the_format_in_the_tree_of_the_papers_readme_is_that_of_the_evaluation_file(base_dir: Path) -> None:
    for name in ("CQA-A", "CQM-A"):
        flags = ["--base-dir", str(base_dir), "--split", "train", "--prompt-format", name]
        assert main(["convert", "scienceqa", *flags]) == 0
    ours, theirs = base_dir / "llava_train_CQM-A.json", base_dir / "llava_train_CQA-A.json"
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.long
def test_the_official_script_name_and_flags(base_dir: Path) -> None:
    flags = ["--base-dir", str(base_dir), "--prompt-format", "QCM-LEA", "--split", "train"]
    for names in (flags, ["--base_dir", *flags[1:2], f"--prompt_format={flags[3]}", *flags[4:]]):
        (base_dir / "llava_train_QCM-LEA.json").unlink(missing_ok=True)
        done = subprocess.run([sys.executable, SCRIPT, "convert_to_llava", *names], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert (base_dir / "llava_train_QCM-LEA.json").is_file()
    wrong = subprocess.run([sys.executable, SCRIPT, "convert_to_mars"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "convert_to_llava" in wrong.stderr


@pytest.mark.long
def test_a_checkpoint_is_converted(golden: Path, tmp_path: Path) -> None:
    assert main(["convert", "checkpoint", str(golden / "camml_linear"), str(tmp_path / "model")]) == 0
    assert (tmp_path / "model" / "config.json").is_file()


@pytest.mark.absolute_paths
def test_a_checkpoint_that_is_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["convert", "checkpoint", str(tmp_path / "empty"), str(tmp_path / "model")]) == 2
    assert str(tmp_path / "empty") in capsys.readouterr().err
