"""`camml eval run` as a person uses it."""

import json
from pathlib import Path

import pytest

from camml.cli import main
from tests.chat_server import chat_server
from tests.evaluation.conftest import build_store
from tests.layouts import write_benchmarks


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("eval")
    write_benchmarks(folder / "data")
    return str(folder / "data"), str(build_store(folder))


@pytest.fixture
def command(places, camml_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    data, store = places
    return ["eval", "run", "gqa", "--model", str(camml_folder), "--store", store, "--data", data,
            "--out", str(tmp_path / "out"), "--max-new-tokens", "4", "--resamples", "50"]  # fmt: skip


def instead(command: list[str], extra: list[str]) -> list[str]:
    """The command with further options, in place of those of the same name."""
    replaced = [place for place, word in enumerate(command) if word in extra and word.startswith("--")]
    return [word for place, word in enumerate(command) if not {place, place - 1} & set(replaced)] + extra


@pytest.mark.long
def test_a_sweep_prints_a_table_and_draws_a_plot(command, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--shots", "0,1,2", "--context", "retrieved,random"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:6]] == [
        ["gqa", "none", "0"], ["gqa", "retrieved", "1"], ["gqa", "retrieved", "2"], ["gqa", "random", "1"],
        ["gqa", "random", "2"],
    ]  # fmt: skip
    assert (tmp_path / "out/gqa/shots.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out/gqa/variants.md").read_text().count("\n") == 7


@pytest.mark.long
def test_runs_compare(command, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--json", "--shots", "0,1"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [run["context"] for run in document] == ["none", "retrieved"]
    assert {"accuracy"} <= document[0]["score"]["values"].keys()
    assert main(["eval", "compare", *(run["folder"] for run in document)]) == 0
    assert "gqa: 3 items" in capsys.readouterr().out


def test_a_stock_vision_language_model_is_the_baseline(
    command, vlm_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--model", str(vlm_folder), "--use", "interleaved", "--shots", "2", "--json"]
    assert main(instead(command, chosen)) == 0
    [run] = json.loads(capsys.readouterr().out)
    prompts = [json.loads(line)["prompt"] for line in (Path(run["folder"]) / "log.jsonl").read_text().splitlines()]
    assert [prompt.count("<image>") for prompt in prompts] == [3, 3, 3], "of two samples and the question"


@pytest.mark.parametrize(("model", "name"), [(".", "inner"), ("..", "outer"), ("owner/model", "model")])
def test_a_folder_given_by_its_place_keeps_its_name(
    model: str, name: str, places, tmp_path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, store = places
    (tmp_path / "outer/inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "outer/inner")
    command = [
        "eval",
        "run",
        "gqa",
        "--model",
        model,
        "--store",
        store,
        "--data",
        data,
        "--context",
        "copy",
        "--shots",
        "1",
    ]
    assert main([*command, "--mode", "text-text", "--no-cache", "--resamples", "0", "--json"]) == 0
    [outcome] = json.loads(capsys.readouterr().out)
    assert outcome["folder"] == f"runs/eval/{name}/gqa/copy"
    assert (tmp_path / "outer/inner" / outcome["folder"] / "score.json").is_file()


@pytest.mark.long
def test_answers_are_remembered_unless_asked_otherwise(command, tmp_path) -> None:
    assert main([*command, "--no-cache"]) == 0
    assert not (tmp_path / "home").exists()
    assert main(instead(command, ["--out", str(tmp_path / "other")])) == 0
    assert len(list((tmp_path / "home/answers").glob("??/*.json"))) == 3
    assert len(list((tmp_path / "home/answers/found").rglob("*.json"))) == 3


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--shots", "many"], "--shots 'many' should be a number"),
        (["--context", "nearest"], "no context 'nearest'; there are: none, retrieved"),
        (["--limit", "0"], "limit is 0"),
        (["--spread"], "--spread draws the questions of --limit; give --limit N, or leave --spread out"),
        (["--shots", "9"], "shots is 9, but the datastore holds 5"),
        (["--model", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--device", "quantum"], "quantum"),
        (["--data", "/nowhere"], "no /nowhere/gqa/llava_gqa_testdev_balanced.jsonl; get it from"),
        (["--store", "/nowhere"], "no datastore at /nowhere"),
        (["--temperature", "-1"], "temperature is -1"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(command, extra, message, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(instead(command, extra)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.strip().count("\n") == 0


class TestEndpoint:
    def test_a_model_behind_an_endpoint_is_run_and_remembered(
        self, places, tmp_path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
        data, store = places
        with chat_server(lambda request, number: "yes", {"prompt_tokens": 40, "completion_tokens": 1}) as (
            url,
            requests,
        ):
            command = ["eval", "run", "gqa", "--use", "api", "--model", "org/vision", "--base-url", url, "--data", data,
                       "--store", store, "--shots", "2", "--resamples", "9", "--json"]  # fmt: skip
            assert main([*command, "--out", str(tmp_path / "one")]) == 0
            [document] = json.loads(capsys.readouterr().out)
            assert len(requests) == 3
            assert main([*command, "--out", str(tmp_path / "two")]) == 0
            assert len(requests) == 3
            assert main([*command, "--out", str(tmp_path / "three"), "--prompt-style", "brief"]) == 0
            assert len(requests) == 6
        assert document["score"]["values"]["accuracy"] == pytest.approx(100 / 3)
        assert document["measures"]["tokens"] == {"prompt": 40, "answer": 1}
        told = json.loads((tmp_path / "one/gqa/retrieved-2/run.json").read_text())["model"]
        assert (told["name"], told["use"], told["device"]) == ("org/vision", "api", "endpoint")

    def test_another_endpoint_is_another_model(self, places, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["eval", "run", "gqa", "--use", "api", "--model", "m", "--data", places[0], "--context", "none",
                   "--no-cache", "--out", str(tmp_path), "--base-url"]  # fmt: skip
        with chat_server(lambda request, number: "yes") as (url, _):
            assert main([*command, url]) == 0
        assert main([*command, "http://127.0.0.1:9/v1"]) == 2
        assert "holds another run (model.hash" in capsys.readouterr().err
