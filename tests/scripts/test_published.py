"""The scripts under the original's names: what they make of its flags, and what they say where something is missing."""

import importlib.util
import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from camml.neighbors import NeighborTable
from tests.encoders.tiny_encoders import save_imagebind
from tests.training import runs

ROOT = Path(__file__).parents[2]
DONE = subprocess.CompletedProcess("", 5)


def load(path: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, Path(path).stem, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run_camml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, in a folder with the original's files, all empty."""
    monkeypatch.chdir(tmp_path)
    Path("checkpoints/camml-7b").mkdir(parents=True)
    Path("data").mkdir()
    for name in ("llava_665k_vision_flatIP.index", "llava_665k_memory_metadata.json"):
        Path("data", name).touch()
    return load("scripts/run_camml.py", monkeypatch)


def refused(run_camml: ModuleType, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        run_camml.build_arguments(list(arguments))
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


class TestRunCamml:
    def test_the_originals_defaults(self, run_camml: ModuleType) -> None:
        pair = "data/llava_665k_vision_flatIP.index:data/llava_665k_memory_metadata.json"
        assert run_camml.build_arguments(["--query", "What", "is", "it?", "--image-file", "x.png"]) == [
            "ask", "--image", "x.png", "--model", "checkpoints/camml-7b", "--store", pair, "--shots", "3",
            "--max-new-tokens", "1024", "--", "What is it?",
        ]  # fmt: skip

    def test_all_flags_of_the_original_are_taken(self, run_camml: ModuleType) -> None:
        given = ["--model-path", "m", "--image-file", "x", "--conv-mode", "vicuna_v1", "--shots", "1", "--query", "Q"]
        result = " ".join(run_camml.build_arguments(given))
        assert "--model m" in result
        assert "--shots 1 --prompt-style official" in result

    def test_flags_of_ask_go_through(self, run_camml: ModuleType) -> None:
        result = run_camml.build_arguments(["--query", "Q", "--mode", "fused", "--max-new-tokens", "5", "--model", "m"])
        assert result.count("--max-new-tokens") == 1
        assert result[-6:] == ["--mode", "fused", "--max-new-tokens", "5", "--", "Q"]
        assert "m" in result
        assert "--store" not in run_camml.build_arguments(["--query", "Q", "--context", "c.json"])
        assert "--store" not in run_camml.build_arguments(["--query", "Q", "--store", "none"])

    def test_a_question_that_looks_like_a_flag_is_a_question(self, run_camml: ModuleType) -> None:
        assert run_camml.build_arguments(["--query=--what"])[-2:] == ["--", "--what"]

    def test_it_never_answers_with_another_model(self, run_camml: ModuleType, capsys) -> None:
        Path("checkpoints/camml-7b").rename("checkpoints/camml_7b")  # as its training script calls it
        assert "checkpoints/camml_7b" in run_camml.build_arguments(["--query", "Q"])
        Path("checkpoints/camml_7b").rmdir()
        assert "no model at checkpoints/camml-7b" in refused(run_camml, capsys, "--query", "Q")

    def test_it_never_answers_without_its_samples(self, run_camml: ModuleType, capsys) -> None:
        Path("data/llava_665k_memory_metadata.json").unlink()
        said = refused(run_camml, capsys, "--query", "Q")
        assert "data/llava_665k_memory_metadata.json is not there" in said
        Path("data/llava_665k_vision_flatIP.index").unlink()
        assert " are not there" in refused(run_camml, capsys, "--query", "Q")

    def test_an_index_of_ones_own_is_taken(self, run_camml: ModuleType) -> None:
        own = Path("data/llava/llava_665k")
        (own / "index").mkdir(parents=True)
        Path("data/llava_665k_vision_flatIP.index").rename(own / "index" / "llava_665k_vision_flatIP.index")
        Path("data/llava_665k_memory_metadata.json").rename(own / "llava_665k_memory_metadata.json")
        assert f"{own}/index/llava_665k_vision_flatIP.index:{own}/llava_665k_memory_metadata.json" in (
            run_camml.build_arguments(["--query", "Q"])
        )

    def test_a_base_model_is_refused_with_the_way_out(self, run_camml: ModuleType, capsys) -> None:
        assert "camml merge" in refused(run_camml, capsys, "--query", "Q", "--model-base", "b")


@pytest.mark.parametrize(("kind", "pair"), [("sqa", "sqa"), ("665k", "llava_665k")])
def test_both_languages_name_the_same_places(kind: str, pair: str, tmp_path: Path, monkeypatch) -> None:
    published = load("scripts/published.py", monkeypatch)

    def in_bash() -> str:
        command = ["bash", "-c", f". {ROOT}/scripts/published.sh && published_pair data {kind}"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    monkeypatch.chdir(tmp_path)
    assert in_bash() == published.KINDS[kind].store
    assert f"data/{pair}_vision_flatIP.index:" in in_bash()
    own = tmp_path / "data/llava/llava_665k/index"
    own.mkdir(parents=True)
    (own / "llava_665k_vision_flatIP.index").touch()
    assert in_bash() == published.KINDS[kind].store


@pytest.mark.parametrize("script", ["camml/train/train_camml.py", "camml/train/train_camml_sqa.py",
                                    "llava/train/train_camml_sqa.py"])  # fmt: skip
def test_the_training_files_take_the_flags(script: str, tmp_path: Path, monkeypatch, capsys) -> None:
    """Started from an empty folder, by another path: what is missing is one line."""
    published = load("scripts/published.py", monkeypatch)
    monkeypatch.setattr(published, "alone", lambda *arguments: published.main(arguments))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    flags = ["--model_name_or_path", "./checkpoints/v", "--data_path", "d.json", "--output_dir", "o"]
    monkeypatch.setattr(sys, "argv", [str(ROOT / script), *flags])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("camml: error: ")
    assert "checkpoints/v" in last
    assert not (tmp_path / "data" / "neighbors").exists() or not list((tmp_path / "data" / "neighbors").glob("*/*"))


def test_a_verb_runs_in_a_process_that_is_not_one_of_torchruns(monkeypatch, capfd) -> None:
    published = load("scripts/published.py", monkeypatch)
    monkeypatch.setenv("RANK", "3")
    assert published.alone("--version") == 0
    monkeypatch.setattr(published.subprocess, "run", lambda command, env: print(command[1:], "RANK" in env) or DONE)
    assert published.alone("train", "--check", "True") == 5
    said = capfd.readouterr().out.splitlines()
    assert said[0].startswith("camml ")
    assert said[1] == "['-m', 'camml', 'train', '--check', 'True'] False"


def test_neighbors_are_computed_once_then_trained_on(tmp_path: Path, monkeypatch, capsys) -> None:
    published = load("scripts/published.py", monkeypatch)
    monkeypatch.chdir(tmp_path)
    flags = runs.flags(tmp_path, neighbors=None, icl_num=1, max_steps=1)
    called: list[list[str]] = []
    monkeypatch.setattr(published, "main", lambda arguments: called.append(arguments) or 0)
    monkeypatch.setattr(published, "alone", lambda *arguments: called.append(list(arguments)) or 0)
    assert published.train("sqa", flags) == 0
    checks, neighbors, train = called
    assert checks[0] == train[0] == "train"
    assert checks[-2:] == ["--check", "True"]
    assert neighbors[:2] == ["neighbors", str(tmp_path / "train.json")]
    assert "data/sqa_vision_flatIP.index:data/sqa_train_post_memory_answer.json" in neighbors
    assert train[1:3] == ["--neighbors", "data/neighbors/scienceqa_train"]
    assert {"official_scienceqa", "bert"} <= set(train)
    called.clear()
    (tmp_path / "data/neighbors/scienceqa_train").mkdir(parents=True)
    (tmp_path / "data/neighbors/scienceqa_train/manifest.json").touch()
    assert published.train("sqa", flags) == 0
    assert [arguments[0] for arguments in called] == ["train"]
    called.clear()
    assert published.train("665k", [*flags, "--icl_num", "0"]) == 0
    assert [arguments[0] for arguments in called] == ["train"]


class TestRetriever:
    """The two scripts make a pair that a run uses."""

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        folder = tmp_path / "data" / "llava" / "llava_665k"
        folder.mkdir(parents=True)
        runs.dataset(folder).rename(folder / "llava_v1_5_mix665k.json")
        return folder

    @pytest.mark.weights
    @pytest.mark.timeout(600)  # the weights may have to be fetched first
    def test_index_and_json_of_ones_own(self, folder: Path, monkeypatch, capsys) -> None:
        options = save_imagebind(folder.parents[2] / "ib")
        flags = [word for key, value in options.items() for word in ("--encoder-option", f"{key}={value}")]
        embedding = load("scripts/retriever/retriever_embed_llava665k.py", monkeypatch)
        assert embedding.main([*flags, "--batch-size", "3"]) == 0
        vectors = np.load(folder / "vision_emb" / "llava_665k_vision.npy")
        entries = json.loads((folder / "llava_665k_memory_metadata.json").read_text())
        assert len(vectors) == len(entries) == 8
        assert entries[0]["image"] == "data/llava/llava_665k/picture-0.png"
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
        indexing = load("scripts/retriever/build_autofaiss_index.py", monkeypatch)
        assert indexing.main([]) == 0
        [pair] = [word for word in capsys.readouterr().out.split() if ".index:" in word]
        from camml.cli import main

        out = ["data/neighbors/665k", "--mode", "text-image", "--k", "2", "--images", str(folder)]
        assert main(["neighbors", str(folder / "llava_v1_5_mix665k.json"), pair, *out, *flags]) == 0
        near = NeighborTable.open("data/neighbors/665k").context("row-0")
        assert len(near) == 2
        assert "row-0" not in {neighbor.sample.id for neighbor in near}

    def test_a_missing_picture_is_said_before_the_encoder_is_loaded(self, folder: Path, monkeypatch, capsys) -> None:
        embedding = load("scripts/retriever/retriever_embed_llava665k.py", monkeypatch)
        monkeypatch.setattr(embedding.encoders, "load", lambda *_, **__: pytest.fail("it was loaded"))
        (folder / "picture-1.png").unlink()
        assert embedding.main([]) == 2
        assert "1 of the 8 pictures" in capsys.readouterr().err
        assert not (folder / "vision_emb").exists()

    def test_no_vectors_and_other_lengths(self, folder: Path, monkeypatch, capsys) -> None:
        indexing = load("scripts/retriever/build_autofaiss_index.py", monkeypatch)
        assert indexing.main([]) == 2
        assert "retriever_embed_llava665k.py" in capsys.readouterr().err
        (folder / "vision_emb").mkdir()
        for width in (2, 3):
            np.save(folder / "vision_emb" / f"{width}.npy", np.zeros((1, width), np.float32))
        assert indexing.main([]) == 2
        assert "not of one length" in capsys.readouterr().err


def test_the_folders_of_the_original_hide_no_package() -> None:
    """`camml/` and `llava/` hold scripts alone: Python takes the package also where the root comes first."""
    assert not list(ROOT.glob("camml/**/__init__.py"))
    code = "import camml; print(camml.__version__)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True).stdout


class TestInstall:
    @pytest.mark.parametrize(("old", "code"), [(True, 2), (False, 0)])
    def test_it_asks_for_a_python_that_will_do(self, old: bool, code: int, tmp_path: Path) -> None:
        fake = tmp_path / "python"
        fake.write_text(
            f'#!/bin/sh\n[ "$1" = -c ] && exit {int(old)}\n[ "$1" = -V ] && echo Python 3.10.1 && exit\necho "$@"\n'
        )
        fake.chmod(0o755)
        command = ["bash", str(ROOT / "install.sh"), "--quiet"]
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == code
        if old:
            assert "Python 3.10.1, and CaMML needs 3.11" in done.stderr
        else:
            assert "-m pip install --constraint constraints.txt --editable .[train,train-deepspeed" in done.stdout
