"""The checks before hours of work, on folders as people have them: whole, half there, or of another model."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from camml.cli import main
from camml.errors import ModelFolderError, OptionError, SampleError
from camml.training import arguments, building, preflight, recipes
from tests.training import runs


@pytest.fixture
def parts(bench: Path, tmp_path: Path) -> Path:
    """A copy of the parts and the data of a run, to be damaged."""
    for name in ("language", "tower"):
        shutil.copytree(bench / name, tmp_path / name)
    for file in bench.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path / file.name)
    return tmp_path


def save_projector(folder: Path, has: int = 16, gives: int = 24) -> Path:
    torch.manual_seed(1)
    file = folder / "mm_projector.bin"
    tensors = {"model.mm_projector.weight": torch.randn(gives, has), "model.mm_projector.bias": torch.randn(gives)}
    torch.save(tensors, file)
    return file


def check(parts: Path, **more: object) -> str:
    given = {"neighbors": parts / "later", "output_dir": None, "check": True} | more
    return preflight.report(recipes.parse(runs.flags(parts, **given)))


def test_what_is_there_is_said_and_neighbors_may_come_later(
    parts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "build", lambda *_, **__: pytest.fail("a model was loaded"))
    runs.pretend_installed("deepspeed", monkeypatch)
    given = {"neighbors": parts / "later", "output_dir": None, "check": True, "deepspeed": "zero3.json"}
    projector = save_projector(parts)
    assert main(["train", *runs.flags(parts, **given, pretrain_mm_mlp_adapter=projector)]) == 0
    said = capsys.readouterr().out
    for line in (
        "machine: ", "precision: float32", "model: ", "tower: ", "mm_projector.bin, 16 to 24", "perceivers: random",
        "12 samples", "8 with an image (all found)", "neighbors: none yet", "8 processes: ",
    ):  # fmt: skip
        assert line in said


def test_a_missing_package_is_named_with_what_installs_it(
    parts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.pretend_missing("deepspeed", monkeypatch)
    given = {"neighbors": parts / "later", "output_dir": None, "check": True, "deepspeed": "zero3.json"}
    assert main(["train", *runs.flags(parts, **given)]) == 2
    assert "pip install 'camml[train,train-deepspeed]'" in capsys.readouterr().err


def test_neighbors_that_are_there_are_checked(bench: Path, parts: Path) -> None:
    shutil.copytree(bench / "neighbors", parts / "neighbors")
    assert "neighbors: there, with their pictures" in check(parts, neighbors=parts / "neighbors")
    assert "neighbors: not used" in check(parts, icl_num=0, neighbors=None)


def shard(folder: Path) -> dict[str, str]:
    """Weights in two pickles with an index, as Vicuna has them."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    index = {}
    for number, some in enumerate((names[::2], names[1::2]), 1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: tensors[name] for name in some}, folder / file)
        index |= dict.fromkeys(some, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return index


def test_a_part_of_the_weights_that_is_missing_or_a_pointer_is_named(parts: Path) -> None:
    shard(parts / "language")
    assert "2 files of weights" in check(parts)
    second = parts / "language" / "pytorch_model-00002-of-00002.bin"
    second.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n")
    with pytest.raises(ModelFolderError, match=r"pytorch_model-00002.*git lfs pull"):
        check(parts)
    second.write_bytes(b"")
    with pytest.raises(ModelFolderError, match="is empty"):
        check(parts)
    second.unlink()
    with pytest.raises(
        ModelFolderError, match=r"00002-of-00002\.bin is missing, which pytorch_model\.bin\.index\.json"
    ):
        check(parts)
    (parts / "language" / "pytorch_model.bin.index.json").write_text("[]")
    with pytest.raises(ModelFolderError, match="is not an index of weights"):
        check(parts)


@pytest.mark.parametrize("name", ["flax_model.msgpack", "consolidated.safetensors", "tf_model.h5"])
def test_weights_that_are_not_loaded_may_be_missing(parts: Path, name: str) -> None:
    index = json.dumps({"weight_map": {"a": "gone-1-of-2"}})
    (parts / "language" / f"{name}.index.json").write_text(index)
    assert "language, 1 file of weights" in check(parts)
    (parts / "language" / "model.safetensors.index.json").write_text(index)  # of another kind than the whole file
    (parts / "language" / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1")
    assert "language, 1 file of weights" in check(parts)
    (parts / "language" / "model.safetensors").unlink()
    with pytest.raises(ModelFolderError, match=r"gone-1-of-2 is missing, which model\.safetensors\.index\.json names"):
        check(parts)


@pytest.mark.parametrize(("has", "gives", "said"), [(32, 24, "takes 32 .*tower has 16"), (16, 48, "gives 48 .*has 24")])
def test_the_projector_of_another_model_is_refused(parts: Path, has: int, gives: int, said: str) -> None:
    with pytest.raises(ModelFolderError, match=said):
        check(parts, pretrain_mm_mlp_adapter=save_projector(parts, has, gives))


def test_what_is_missing_is_one_line(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, said in (
        ({"pretrain_mm_mlp_adapter": parts / "gone.bin"}, "gone.bin"),
        ({"vision_tower": "./checkpoints/gone"}, "checkpoints/gone"),
        ({"data_path": parts / "gone.json"}, "gone.json"),
        ({"image_folder": parts / "elsewhere"}, "say where images start with --image_folder DIR"),
    ):
        given = {"neighbors": parts / "later", "output_dir": None, "check": True} | more
        assert main(["train", *runs.flags(parts, **given)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("mode", ["check", "dry_run"])
def test_held_out_data_and_the_checkpoint_to_go_on_from_are_looked_for(
    bench: Path, tmp_path: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"output_dir": tmp_path / "out", mode: True}
    held_out = {"eval_data": bench / "train.json", "eval_neighbors": bench / "neighbors"}
    for more, said in (
        ({**held_out, "eval_data": tmp_path / "gone.json"}, "gone.json"),
        ({**held_out, "eval_image_folder": tmp_path / "elsewhere"}, "elsewhere"),
        ({"resume_from_checkpoint": tmp_path / "nowhere"}, "nowhere: no finished checkpoint there"),
    ):
        assert main(["train", *runs.flags(bench, **given, **more)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert main(["train", *runs.flags(bench, **given, **held_out)]) == 0
    assert "held-out" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_start_misses_held_out_data_before_a_model_is_loaded(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from camml.training.train import prepare

    monkeypatch.setattr(building, "build", lambda *_, **__: pytest.fail("a model was loaded"))
    held_out = {"eval_data": tmp_path / "gone.json", "eval_neighbors": bench / "neighbors"}
    with pytest.raises(SampleError, match=r"gone\.json"):
        prepare(recipes.parse(runs.flags(bench, output_dir=tmp_path / "out", **held_out)))


def test_neighbors_may_come_later_only_where_nothing_else_is(bench: Path, tmp_path: Path) -> None:
    pictures, begun, empty = tmp_path / "pictures", tmp_path / "begun", tmp_path / "empty"
    for folder in (pictures, begun / "work" / f"{'0' * 16}-256", empty):
        folder.mkdir(parents=True)
    (pictures / "red.png").touch()
    with pytest.raises(OptionError, match=r"pictures holds something else than neighbors, such as 'red\.png'"):
        check(bench, neighbors=pictures)
    with pytest.raises(OptionError, match=r"red\.png is a file"):
        check(bench, neighbors=pictures / "red.png")
    with pytest.raises(OptionError, match="pictures holds something else than neighbors"):
        check(bench, eval_data=bench / "train.json", eval_neighbors=pictures)
    for free in (begun, empty, tmp_path / "new"):
        assert "neighbors: none yet" in check(bench, neighbors=free)


def test_a_finished_model_has_its_own_parts(bench: Path, camml_folder: Path) -> None:
    said = check(bench, model_name_or_path=camml_folder, vision_tower=None)
    assert "model: " in said
    assert "projector: " not in said
    assert "projector: " not in check(bench, model_name_or_path=camml_folder, pretrain_mm_mlp_adapter="gone.bin")


class TestBert:
    """`--perceiver_init bert`, as in the recipes."""

    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def save(self, folder: Path, width: int) -> None:
        from transformers import BertConfig, BertModel

        sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 30}
        BertModel(BertConfig(hidden_size=width, **sizes)).save_pretrained(folder)

    def test_it_is_used_where_it_is(self, parts: Path) -> None:
        self.save(Path(arguments.BERT), 24)
        model = recipes.parse(runs.flags(parts, perceiver_init="bert")).model
        assert Path(str(model.pretrain_perceivers)) == Path(arguments.BERT)
        built, _ = building.build(model)
        wanted = torch.cat([t.flatten() for n, t in _bert(Path(arguments.BERT)).items() if "0.intermediate" in n])
        assert any(torch.equal(p.flatten(), wanted[: p.numel()]) for p in built.state_dict().values())
        assert "perceivers: blocks of" in check(parts, perceiver_init="bert")

    def test_it_is_said_where_it_is_not(self, parts: Path, caplog: pytest.LogCaptureFixture) -> None:
        assert recipes.parse(runs.flags(parts, perceiver_init="bert")).model.pretrain_perceivers is None
        assert "random weights: there is no BERT in checkpoints/bert-base-uncased" in caplog.text

    def test_another_width_starts_at_random_as_the_published_run_did(self, parts: Path, caplog) -> None:
        self.save(Path(arguments.BERT), 32)
        assert recipes.parse(runs.flags(parts, perceiver_init="bert")).model.pretrain_perceivers is None
        assert "is 32 wide, not 24" in caplog.text

    def test_a_folder_that_is_named_must_be_there(self, parts: Path) -> None:
        with pytest.raises(OptionError, match="nowhere is not a folder of BERT"):
            recipes.parse(runs.flags(parts, perceiver_init="bert", pretrain_perceivers="nowhere"))


def _bert(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


class TestStoreImages:
    """Neighbors whose pictures were moved after the table was made."""

    @pytest.fixture
    def moved(self, bench: Path, tmp_path: Path) -> Path:
        folder = tmp_path / "was"
        runs.flags(folder)
        (tmp_path / "disk").mkdir()
        for picture in folder.glob("*.png"):
            shutil.copy(picture, tmp_path / "disk" / picture.name)
        moved = tmp_path / "is"
        shutil.copytree(folder, moved)
        shutil.rmtree(folder)
        return moved

    def test_a_run_stops_before_a_model_is_loaded(self, moved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from camml.training.train import prepare

        monkeypatch.setattr(building, "build", lambda *_, **__: pytest.fail("a model was loaded"))
        with pytest.raises(Exception, match=r"is gone: .*--store_images DIR"):
            prepare(recipes.parse(runs.flags(moved)))
        with pytest.raises(Exception, match=r"no picture of the neighbors in .* is in --store_images"):
            prepare(recipes.parse(runs.flags(moved, store_images=moved / "language")))

    def test_the_flag_finds_them(self, moved: Path, tmp_path: Path) -> None:
        from camml.training import rows

        settings = recipes.parse(runs.flags(moved, store_images=tmp_path / "disk"))
        conversations, context_of = rows.load(settings.data, lambda error: pytest.fail(str(error)))
        images = [near.sample.image for near in context_of(conversations[0].id) if near.sample.image]
        assert images
        assert all(image.is_relative_to(tmp_path / "disk") for image in images)
