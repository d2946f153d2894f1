"""`make test-seed`: the commands of the paper's README, typed as they stand, in the layouts that people have.

Behind a command stands what makes it small (`TINY`); float16 is taken back there, since tests have no GPU.
One process has nothing to shard, so that DeepSpeed is left out here; `test_zero3` has two.
"""

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from camml.cli import main
from camml.data import scienceqa
from camml.model.folder import read_config
from tests.seed import parts, tree
from tests.seed.conftest import ROOT, Clone, blocks
from tests.training import runs

TINY = ["--max_steps 2", "--perceiver_hidden_size 24", "--perceiver_querys 3", "--per_device_train_batch_size 2",
        "--report_to none", "--deepspeed no", "--fp16 False", "--save_strategy no"]  # fmt: skip
SHORT = ["--max-new-tokens 4", "--device cpu", "--no-cache"]
SCIENCE, RETRIEVER = "python scripts/convert_sqa_to_llava.py", "python scripts/retriever"


def block(commands: list[str], begin: str) -> str:
    """The block that begins so."""
    [results] = [command for command in commands if command.startswith(begin)]
    return results


def test_the_commands_are_those_of_the_readme(commands: list[str]) -> None:
    folder = Path(os.environ.get("CAMML_SEED", ROOT.parent / "shared" / "seed"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no README at {folder}")
    assert blocks((folder / "README.md").read_text()) == commands


def test_every_file_that_a_command_names_is_here(commands: list[str]) -> None:
    words = [word for command in commands for word in command.split()]
    named = {word for word in words if word.endswith((".py", ".sh")) and "$" not in word}
    assert {"install.sh", "camml/eval/run_camml.py", "llava/train/train_camml_sqa.py"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


@pytest.mark.slow
@pytest.mark.weights
class TestTyped:
    """In the order of the README; each command finds what the ones before it left."""

    def test_install(self, clone: Clone, commands: list[str]) -> None:
        assert block(commands, "git clone").splitlines() == ["git clone camml.git", "cd camml"]  # the fixture's
        conda = block(commands, "conda").splitlines()
        for line in conda[:3]:
            clone.type(line)
        python = 'f() { case "$1" in -c) command python "$@" ;; *) echo python "$@" ;; esac; }; export -f f;'
        said = clone.type(python + conda[3], PYTHON="f")
        assert "-m pip install --constraint constraints.txt --editable .[train,train-deepspeed,eval,serve]" in said
        clone.type(block(commands, "pip install"))

    def test_scienceqa_is_converted(self, clone: Clone, commands: list[str]) -> None:
        command = block(commands, SCIENCE).replace("/path/to/ScienceQA/data/scienceqa", "data/scienceqa")
        said = clone.type(command)
        assert said.count("wrote ") == 5
        for split in ("train", "val", "minival", "test", "minitest"):
            assert (clone.folder / f"data/scienceqa/llava_{split}_QCM-LEPA.json").is_file()
        clone.type(command.replace("QCM-LEPA", "CQA-A").replace("{train,val,minival,test,minitest}", "test"))
        assert (clone.folder / "data/scienceqa/llava_test_CQA-A.json").is_file()

    def test_the_retriever_of_ones_own(self, clone: Clone, commands: list[str]) -> None:
        for line in block(commands, RETRIEVER).splitlines():
            clone.type(line)
        own = clone.folder / "data/llava/llava_665k"
        assert (own / "index/llava_665k_vision_flatIP.index").is_file()
        assert len(json.loads((own / "llava_665k_memory_metadata.json").read_text())) == 7

    def test_float16_without_a_gpu_is_said_before_anything_else(self, clone: Clone, commands: list[str]) -> None:
        for script in ("bash scripts/train_camml_7B_sqa.sh", "bash scripts/train_camml_7B_665K.sh"):
            said = clone.type(block(commands, script), code=2)
            assert said.startswith("camml: error: --fp16 needs a GPU")
            assert said.count("\n") == 1

    def test_training_on_scienceqa(self, clone: Clone, commands: list[str]) -> None:
        said = clone.type(block(commands, "bash scripts/train_camml_7B_sqa.sh"), *TINY)
        order = [said.index(text) for text in ("machine: ", "neighbors: none yet", "neighbors of 6 samples", "wrote ")]
        assert order == sorted(order)
        assert "perceivers: blocks of checkpoints/bert-base-uncased" in said
        out = clone.folder / "checkpoints/camml_7b_sqa_ft"
        assert read_config(out)["model_type"] == "camml"
        settings = json.loads((out / "run.json").read_text())["settings"]
        assert settings["image_folder"] == "./data/scienceqa/images/"
        assert settings["pretrain_perceivers"].endswith("bert-base-uncased")
        again = clone.type(block(commands, "bash scripts/train_camml_7B_sqa.sh"), *TINY, file="again")
        assert "neighbors: there, with their pictures" in again
        assert "neighbors of" not in again

    def test_torchrun_on_scienceqa(self, clone: Clone, commands: list[str]) -> None:
        [command] = [text for text in commands if text.startswith("torchrun") and "train_camml_sqa.py" in text]
        clone.type(command, *TINY, file="typed_sqa")
        assert (clone.folder / "checkpoints/typed_sqa/model.safetensors").is_file()

    def test_training_on_instructions(self, clone: Clone, commands: list[str]) -> None:
        said = clone.type(block(commands, "bash scripts/train_camml_7B_665K.sh"), *TINY)
        assert "3 ids that repeat or hold a slash were changed" in said
        assert "neighbors of 9 samples" in said
        assert (clone.folder / "checkpoints/camml_7b/model.safetensors").is_file()

    def test_torchrun_on_instructions_computes_the_neighbors(self, clone: Clone, commands: list[str]) -> None:
        shutil.rmtree(clone.folder / "data/neighbors/llava_665k")
        [command] = [text for text in commands if text.startswith("torchrun") and "train_camml.py" in text]
        said = clone.type(command, *TINY, file="typed_665k")
        assert said.index("neighbors of 9 samples") < said.index("wrote ")

    def test_a_question_at_the_command_line(self, clone: Clone, commands: list[str]) -> None:
        command = block(commands, "python camml/eval/run_camml.py")
        asked = {"QUESTION": "What is in the picture?", "IMAGE_PATH": "data/llava/llava_665k/vg/VG_100K/5.jpg"}
        said = clone.type(command, "--max-new-tokens 4", **asked)
        assert "data/llava/llava_665k/" in said.partition("evidence")[2]
        assert said.partition("evidence")[2].count(".jpg") + said.partition("evidence")[2].count(".gif") == 3
        (clone.folder / "checkpoints/camml_7b").rename(clone.folder / "checkpoints/away")
        said = clone.type(command, code=2, **asked)
        assert "no model at checkpoints/camml-7b" in said
        (clone.folder / "checkpoints/away").rename(clone.folder / "checkpoints/camml_7b")

    def test_evaluation_after_scienceqa(self, clone: Clone, commands: list[str]) -> None:
        lines = block(commands, "# CaMML-7B, 1 shot").splitlines()
        shutil.copytree(clone.folder / "checkpoints/camml_7b_sqa_ft", clone.folder / "checkpoints/camml_13b_sqa_ft")
        for line in lines:
            if not line.startswith("#"):
                assert "scienceqa_ft" in clone.type(line, *SHORT)

    def test_evaluation_after_instructions(self, clone: Clone, commands: list[str]) -> None:
        command = block(commands, "TASK=")
        for task in ("vqav2", "sqai", "mmbenchcn"):
            said = clone.type(command.replace("vqav2", task, 1), *SHORT, "--limit 2")
            assert "runs/eval/camml_7b" in said


def test_the_table_in_the_docs_has_every_command(commands: list[str]) -> None:
    page = (ROOT / "docs" / "paper.md").read_text()
    for command in commands:
        for line in command.replace("\\\n", " ").splitlines():
            word = next((w for w in line.split() if w.endswith((".py", ".sh"))), None)
            name = word or " ".join(line.partition("#")[0].split()[:2])
            if not line.startswith("#") and not line.startswith(("conda activate", "pip install --upgrade")):
                assert name in page, line


@pytest.mark.parametrize("name", ["train_camml_sqa.py", "train_camml.py"])
def test_the_checks_pass_in_these_layouts(
    name: str, commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The part of all this that every run of the tests has: the README's own flags, checked, nothing trained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPUS_PER_NODE", "1")
    runs.pretend_installed("deepspeed", monkeypatch)
    parts.write_parts(tmp_path / "checkpoints")
    scienceqa.convert(tree.write_tree(tmp_path / "data"), "train")
    [command] = [text for text in commands if text.startswith("torchrun") and f"/{name}" in text]
    flags = shlex.split(command.replace("$file", "out").partition(name)[2].replace("\\\n", " "))
    more = shlex.split(" ".join(flag for flag in TINY if not flag.startswith("--deepspeed")))
    given = ["--neighbors", "data/neighbors/later", "--perceiver_init", "bert", *flags, *more, "--check", "True"]
    assert main(["train", *given]) == 0
    said = capsys.readouterr().out
    for line in ("2 files of weights", "mm_projector.bin, 16 to 24", "bert-base-uncased", "neighbors: none yet"):
        assert line in said
    assert ("6 samples" if "sqa" in name else "9 samples") in said
    (tmp_path / "checkpoints/vicuna-7b-v1.3/pytorch_model-00002-of-00002.bin").unlink()
    (tmp_path / "checkpoints/vicuna-7b-v1.5/pytorch_model-00002-of-00002.bin").unlink()
    assert main(["train", *given]) == 2
    assert "00002-of-00002.bin is missing" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.weights
def test_zero3(clone: Clone, commands: list[str]) -> None:
    """The README's `--deepspeed "zero3.json"`, with two processes that share the processor."""
    pytest.importorskip("deepspeed")
    [command] = [text for text in commands if text.startswith("torchrun") and "train_camml_sqa.py" in text]
    more = [flag for flag in TINY if not flag.startswith("--deepspeed")]
    clone.type(command, *more, file="zero3", GPUS_PER_NODE="2")
    assert (clone.folder / "checkpoints/zero3/model.safetensors").is_file()
