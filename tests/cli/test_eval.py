"""`camml eval` as a person uses it."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from camml.cli import main
from tests.layouts import Records, lines, write_benchmarks


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Records]]:
    folder = tmp_path_factory.mktemp("eval")
    return folder, write_benchmarks(folder)


def _answers(benchmarks: tuple[Path, dict[str, Records]], folder: Path, name: str, number: int | None = None) -> str:
    return str(lines(folder / f"{name}.jsonl", benchmarks[1][name][:number]))


@pytest.mark.absolute_paths
def test_list_shows_what_is_there(benchmarks, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["eval", "list", "--data", str(benchmarks[0])]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 29
    assert all(row.endswith("there") for row in rows[1:])
    assert main(["eval", "list", "--json", "--data", str(tmp_path)]) == 0
    results = {row["task"]: row for row in json.loads(capsys.readouterr().out)}
    assert results["mme"]["missing_to_score"][0].startswith(
        f"MME: no {tmp_path}/MME/llava_mme.jsonl; get it from LLaVA's"
    )
    assert results["mme"]["published"]["CaMML-13B"] == 1588.7


def test_score_prints_a_table_or_json(benchmarks, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = [
        "eval",
        "score",
        "pope",
        "--data",
        str(benchmarks[0]),
        "--answers",
        _answers(benchmarks, tmp_path, "pope"),
    ]
    assert main(command) == 0
    assert "f1/mean                    1.0000   95 % interval 1.0000 to 1.0000" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["values"]["f1"] == {"adversarial": 1.0, "popular": 1.0, "random": 1.0, "mean": 1.0}
    assert "per_item" not in document


def test_scores_are_written_and_compared(benchmarks, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        answers = _answers(benchmarks, tmp_path, "gqa", 3 if run == "one" else 2)
        command = ["eval", "score", "gqa", "--data", str(benchmarks[0]), "--answers", answers, "--missing", "wrong"]
        assert main([*command, "--out", str(tmp_path / run / "score.json")]) == 0
    capsys.readouterr()
    assert main(["eval", "compare", str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    said = capsys.readouterr().out
    assert "first minus second: +0.3333" in said
    assert "exact McNemar: p = 1; first better on 1, second on 0" in said
    assert main(["eval", "compare", "--json", str(tmp_path / "one"), str(tmp_path / "two" / "score.json")]) == 0
    assert json.loads(capsys.readouterr().out)["difference"] == pytest.approx(1 / 3)


def test_the_folder_of_a_run_and_a_packed_file_are_scored(benchmarks, capsys, tmp_path: Path) -> None:
    answers = Path(_answers(benchmarks, tmp_path, "gqa"))
    (tmp_path / "run").mkdir()
    shutil.copy(answers, tmp_path / "run" / "answers.jsonl")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(answers.read_bytes()))
    for place in ("run", "a.jsonl.gz"):
        command = ["eval", "score", "gqa", "--data", str(benchmarks[0]), "--answers", str(tmp_path / place), "--json"]
        assert main(command) == 0
        assert json.loads(capsys.readouterr().out)["values"]["accuracy"] == 100
    assert main(["eval", "score", "gqa", "--data", str(benchmarks[0]), "--answers", str(tmp_path)]) == 2
    assert f"{tmp_path.name}/answers.jsonl" in capsys.readouterr().err


def test_scores_by_different_truths_are_compared_with_a_warning(benchmarks, capsys, tmp_path: Path) -> None:
    answers = _answers(benchmarks, tmp_path, "gqa", 3)
    out = tmp_path / "score.json"
    command = ["eval", "score", "gqa", "--data", str(benchmarks[0]), "--answers", answers, "--out", str(out)]
    assert main(command) == 0
    document = json.loads(out.read_text())
    for truth, warned in ((document["truth"], False), ("0" * 64, True), ("", False)):
        (tmp_path / "other.json").write_text(json.dumps(document | {"truth": truth}))
        capsys.readouterr()
        assert main(["eval", "compare", str(out), str(tmp_path / "other.json")]) == 0
        assert ("scored by different true answers" in capsys.readouterr().err) == warned


def test_submission(benchmarks, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = [
        "eval",
        "score",
        "vizwiz",
        "--data",
        str(benchmarks[0]),
        "--answers",
        _answers(benchmarks, tmp_path, "vizwiz"),
    ]
    assert main([*command, "--submission", str(tmp_path / "u.json")]) == 0
    assert "3 answers in" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "u.json").read_text())) == 3


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["score", "vqa", "--answers", "A"], "no benchmark 'vqa'; there are:"),
        (["score", "gqa", "--answers", "none.jsonl"], "no file none.jsonl"),
        (["score", "gqa", "--answers", "A", "--random-guess", "1"], "gqa has no setting random_guess"),
        (["score", "gqa", "--answers", "A", "--resamples", "-1"], "--resamples -1"),
        (["score", "refcoco", "--answers", "A", "--answer-boxes", "inches"], "no box frame 'inches'"),
        (["score", "mmvet", "--answers", "A"], "graded by a judge"),
        (["score", "vqav2", "--answers", "A"], "write the submission instead"),
        (["score", "pope", "--answers", "A", "--submission", "x"], "POPE has no submission format"),
        (["compare", "none", "none"], "no file none"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    benchmarks, extra: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = extra[1] if extra[1] in benchmarks[1] else "gqa"
    command = [_answers(benchmarks, tmp_path, name) if part == "A" else part for part in extra]
    if extra[0] == "score":
        command += ["--data", str(benchmarks[0])]
    assert main(["eval", *command]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("camml: error: ")
    assert message in said.err
    assert said.err.count("\n") == 1


@pytest.mark.long
def test_scoring_imports_no_model_library(benchmarks, tmp_path: Path) -> None:
    """A benchmark is scored on a machine that has no room for a model."""
    code = "import sys; from camml.cli import main; main(sys.argv[1:]); print([m for m in ('torch', 'transformers', 'faiss') if m in sys.modules])"  # noqa: E501
    answers = _answers(benchmarks, tmp_path, "gqa")
    command = [sys.executable, "-c", code, "eval", "score", "gqa", "--data", str(benchmarks[0]), "--answers", answers]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("[]\n")
