"""Flags and YAML files to settings."""

import shlex
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from camml.errors import OptionError, UnknownNameError
from camml.training import places, recipes

ROOT = Path(__file__).parents[2]

SCIENCEQA = """
    --deepspeed zero3.json --model_name_or_path ./checkpoints/vicuna-7b-v1.3 --version v1
    --data_path ./data/scienceqa/llava_train_QCM-LEPA.json --image_folder ./data/scienceqa/images/
    --vision_tower ./checkpoints/clip-vit-large-patch14
    --pretrain_mm_mlp_adapter ./checkpoints/llava-pretrain-vicuna-7b-v1.3/mm_projector.bin
    --mm_vision_select_layer -2 --mm_use_im_start_end False --mm_use_im_patch_token False
    --perceiver_hidden_size 768 --perceiver_querys 64 --perceiver_layers 2 --icl_num 1 --random_shots_training True
    --image_aspect_ratio pad --group_by_modality_length True --fp16 True --output_dir ./checkpoints/run
    --num_train_epochs 12 --per_device_train_batch_size 8 --per_device_eval_batch_size 1
    --gradient_accumulation_steps 1 --evaluation_strategy no --save_strategy steps --save_steps 500
    --save_total_limit 1 --learning_rate 2e-5 --weight_decay 0. --warmup_ratio 0.03 --lr_scheduler_type cosine
    --logging_steps 1 --tf32 False --model_max_length 2048 --gradient_checkpointing True
    --dataloader_num_workers 0 --lazy_preprocess True
"""
INSTRUCTIONS = (
    SCIENCEQA.replace("--icl_num 1", "--mm_projector_type mlp2x_gelu")
    .replace("epochs 12", "epochs 1")
    .replace("64", "128")
)
ENOUGH = ["--model_name_or_path", "m", "--data_path", "d", "--neighbors", "n", "--output_dir", "o"]


@pytest.mark.parametrize("command", [SCIENCEQA, INSTRUCTIONS], ids=["scienceqa", "665k"])
def test_every_flag_of_the_published_commands_keeps_its_meaning(command: str) -> None:
    settings = recipes.parse([*command.split(), "--neighbors", "n", "--dry_run", "True"])
    model, data, run = settings.model, settings.data, settings.run
    assert run.deepspeed["zero_optimization"]["stage"] == 3
    assert (model.model_name_or_path[:20], model.vision_tower) == (
        "./checkpoints/vicuna",
        "./checkpoints/clip-vit-large-patch14",
    )
    assert model.prompt_style == "official"
    assert model.pretrain_mm_mlp_adapter is not None
    assert (model.mm_vision_select_layer, model.perceiver_hidden_size, model.perceiver_layers) == (-2, 768, 2)
    assert (model.perceiver_querys, data.icl_num) == ((64, 1) if command is SCIENCEQA else (128, 3))
    assert model.mm_projector_type == ("linear" if command is SCIENCEQA else "mlp2x_gelu")
    assert (data.random_shots_training, data.group_by_modality_length, data.lazy_preprocess) == (True, True, True)
    assert model.image_aspect_ratio == "pad"
    assert (run.fp16, run.gradient_checkpointing, run.model_max_length) == (True, True, 2048)
    assert (run.num_train_epochs, run.per_device_train_batch_size) == (12 if command is SCIENCEQA else 1, 8)
    assert (run.learning_rate, run.weight_decay, run.warmup_steps) == (2e-5, 0.0, 0.03)
    assert (run.lr_scheduler_type, run.save_strategy, run.eval_strategy) == ("cosine", "steps", "no")
    assert (run.save_steps, run.save_total_limit, run.logging_steps) == (500, 1, 1)


def test_the_page_on_training_has_the_sizes_of_the_recipes() -> None:
    rows = [line.split("|")[1:-1] for line in (ROOT / "docs" / "training.md").read_text().splitlines()]
    sizes = {cells[0].strip(): cells[2].strip() for cells in rows if len(cells) == 5 and "`" in cells[0]}
    named = {name.strip(" `"): size for names, size in sizes.items() for name in names.split(",")}
    for recipe in ("camml_7b_sqa", "camml_13b_sqa", "camml_7b", "camml_13b", "mini"):
        model = recipes.parse([str(ROOT / "configs" / f"{recipe}.yaml"), "--dry_run", "True"]).model
        assert named[recipe] == f"{model.perceiver_querys}, {model.perceiver_hidden_size}"


@pytest.mark.parametrize("name", ["camml_7b_sqa", "camml_13b_sqa", "camml_7b", "camml_13b", "mini"])
def test_the_recipes_of_the_project_are_read(name: str) -> None:
    settings = recipes.parse([str(ROOT / "configs" / f"{name}.yaml"), "--dry_run", "True"])
    expected = {"camml_7b_sqa": (64, 768, 1), "camml_13b_sqa": (128, 4608, 3), "camml_7b": (128, 768, 3)}
    if name in expected:
        model = settings.model
        assert (model.perceiver_querys, model.perceiver_hidden_size, settings.data.icl_num) == expected[name]
        assert model.perceiver_layers == 2
        assert settings.run.learning_rate == 2e-5


def test_flags_override_the_file(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("model_name_or_path: a\ndata_path: d\nicl_num: 0\nlearning_rate: 1e-4\nseed: 3\n")
    settings = recipes.parse([str(tmp_path / "r.yaml"), "--seed", "4", "--output_dir", "o", "--report_to", "none"])
    assert (settings.run.seed, settings.run.learning_rate, settings.model.model_name_or_path) == (4, 1e-4, "a")
    assert settings.run.report_to == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--learning_rat", "1"], "unknown flag --learning_rat; did you mean --learning_rate?"),
        (["--perceiver_queries", "1"], "did you mean --perceiver_querys?"),
        (["--icl_num", "many"], "invalid int value: 'many'"),
        (["--icl_num", "-1"], "--icl_num is -1"),
        (["--sample_image_dropout", "1.5"], "--sample_image_dropout is 1.5"),
        (["--tune", "some"], "full, perceiver, projector, lora, qlora"),
        (["--version", "v9"], "--version is 'v9'"),
        (["--mm_use_im_start_end", "True"], "must be False"),
        (["--evaluation_strategy", "steps"], "needs --eval_data"),
        (["--warmup_ratio", "3"], "--warmup_ratio is 3.0"),
        (["--on_bad_sample", "ignore"], "stop, skip"),
        (["--deepspeed", "zero9.json"], "no such file; built in are: zero2, zero3"),
        (["--image_aspect_ratio", "crop"], "pad, keep"),
        (["--lr_scheduler_type", "saw"], "saw"),
        (["--bits", "4"], "--bits is 4"),
        (["--do_train", "False"], "--do_train is False, which is not supported: `camml train` trains"),
        (["--label_smoothing_factor", "0.1"], "not supported: the loss is the cross-entropy of answers, unsmoothed"),
        (["--do_predict", "True"], "`camml eval run`"),
        (["--train_sampling_strategy", "group_by_length"], "--group_by_modality_length True"),
        (["--metric_for_best_model", "loss"], "the most exact matches; leave it out"),
        (["--label_names", "labels", "more"], "CaMML makes the rows"),
    ],
)
def test_mistakes_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        recipes.parse([*ENOUGH, *arguments])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["--model_name_or_path", "--data_path", "--output_dir", "--neighbors"])
def test_what_is_missing_is_named(missing: str) -> None:
    place = ENOUGH.index(missing)
    with pytest.raises(OptionError, match=missing):
        recipes.parse(ENOUGH[:place] + ENOUGH[place + 2 :])


def test_half_precision_without_a_gpu_is_an_error_and_sharding_asks_for_processes() -> None:
    import torch

    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator")
    with pytest.raises(OptionError, match="--fp16 needs a GPU"):
        recipes.parse([*ENOUGH, "--fp16", "True"])
    with pytest.raises(OptionError, match="torchrun"):
        recipes.parse([*ENOUGH, "--deepspeed", "zero2"])


def test_an_unknown_prompt_style_is_named() -> None:
    with pytest.raises(UnknownNameError, match="official_scienceqa"):
        recipes.parse([*ENOUGH, "--prompt_style", "loud"])


@pytest.mark.parametrize(
    ("text", "message"), [("- a\n", "must map"), ("a: [", "not YAML"), ("sed: 1\n", "did you mean --seed")]
)
def test_files_that_are_no_recipe(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(OptionError, match=message):
        recipes.parse([str(tmp_path / "r.yaml")])
    with pytest.raises(OptionError, match=r"no configuration .*gone\.yaml"):
        recipes.parse([str(tmp_path / "gone.yaml")])


def test_a_recipe_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"output_dir: caf\xe9\n")
    with pytest.raises(OptionError, match=r"r\.yaml is not UTF-8 text \(byte 15\)"):
        recipes.parse([str(tmp_path / "r.yaml")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate: fast", "argument --learning_rate/--learning-rate: invalid float value: 'fast'"),
        ("learning_rate: {of: 1}", "argument --learning_rate/--learning-rate: invalid float value: '{\"of\": 1}'"),
        ("learning_rate: [1, 2]", "learning_rate takes one value, not a list"),
        ("max_steps: 1.5", "argument --max_steps/--max-steps: invalid int value: '1.5'"),
        ("bf16: maybe", "argument --bf16: Truthy value expected"),
        ("learning_rate: .nan", "--learning_rate is nan; give 0 or more"),
        ("tune: some", "--tune is 'some'; it can be: full"),
        ("icl_num: 1\nseed: 2\nicl_num: 3", "icl_num is there twice, in lines 1 and 3"),
    ],
)
def test_a_wrong_value_in_a_recipe_is_said_with_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(text)
    with pytest.raises(OptionError) as caught:
        recipes.parse([str(recipe), *ENOUGH])
    assert str(caught.value).startswith(f"{recipe}: {message}")


def test_a_home_folder_is_meant_by_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.json").write_text('{"zero_optimization": {"stage": 2}}')
    paths = set(places.PATHS) - {"deepspeed"}
    recipe = tmp_path / "r.yaml"
    recipe.write_text("".join(f"{name}: ~/{name}\n" for name in sorted(paths)) + "tune: lora\nsave_steps: 1\n")
    settings = recipes.parse([str(recipe), "--deepspeed=no"])
    values = recipes.namespace(settings)
    assert {name: values[name] for name in paths} == {name: str(tmp_path / name) for name in paths}
    assert recipes.read([str(recipe)]).data_path == str(tmp_path / "data_path")
    with pytest.raises(OptionError, match="torchrun"):  # and so the file was found
        recipes.parse([str(recipe), "--deepspeed=~/own.json"])


def test_a_wrong_value_on_the_command_line_is_not_said_to_be_in_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("save_steps: 5\ntune: lora\n")
    for wrong in (["--save_steps", "-1"], ["--save-steps=-1"], ["--lora_r", "0"]):
        with pytest.raises(OptionError, match=r"^--\w+ is "):
            recipes.parse([str(tmp_path / "r.yaml"), *ENOUGH, *wrong])


def test_names_of_other_projects_mean_the_same() -> None:
    assert recipes.parse([*ENOUGH, "--lora_enable", "True"]).model.tune == "lora"
    assert recipes.parse([*ENOUGH, "--lora_enable", "True", "--bits", "4"]).model.tune == "qlora"
    assert recipes.parse([*ENOUGH, "--tune_mm_mlp_adapter", "True"]).model.tune == "projector"
    assert recipes.parse([*ENOUGH, "--freeze_backbone", "True"]).model.tune == "perceiver"
    assert recipes.parse([*ENOUGH, "--image_aspect_ratio", "square"]).model.image_aspect_ratio == "keep"


def test_help_names_every_flag_of_ours() -> None:
    text = recipes.describe()
    for name in ("perceiver_querys", "icl_num", "neighbors", "on_bad_sample", "warmup_ratio", "dry_run"):
        assert f"--{name}" in text
    assert "--remote" not in text  # worked out, not given
    assert all(len(line.split()) > 1 for line in text.splitlines() if line.startswith("  --"))


def launched_by(script: Path, tmp_path: Path) -> tuple[list[str], list[str], list[str]]:
    """The words of the check, of the neighbors and of torchrun: programs that write them down stand in for the real."""
    words = tmp_path / "words"
    for program in ("python", "torchrun"):
        (tmp_path / program).write_text(f'#!/bin/sh\nprintf "%s\\n" {program} "$@" >> {words}\n')
        (tmp_path / program).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "file": "run", "GPUS_PER_NODE": "2"}
    subprocess.run([script, "--seed", "7"], env=environment, check=True, cwd=tmp_path)
    before, launched = words.read_text().split("torchrun\n")
    checks, neighbors = before.split("python\n")[1:]
    return checks.splitlines(), neighbors.splitlines(), launched.splitlines()


def differing(first: object, other: object) -> set[str]:
    return {field.name for field in fields(first) if getattr(first, field.name) != getattr(other, field.name)}


@pytest.mark.parametrize(
    ("name", "config", "data"),
    [
        ("7B_sqa", "camml_7b_sqa", "scienceqa/llava_train_QCM-LEPA.json"),
        ("13B_sqa", "camml_13b_sqa", "scienceqa/llava_train_QCM-LEPA.json"),
        ("7B_665K", "camml_7b", "llava/llava_665k/llava_v1_5_mix665k.json"),
        ("13B_665K", "camml_13b", "llava/llava_665k/llava_v1_5_mix665k.json"),
    ],
)
def test_a_script_checks_computes_neighbors_and_trains_by_its_recipe(
    name: str, config: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks, neighbors, arguments = launched_by(ROOT / "scripts" / f"train_camml_{name}.sh", tmp_path)
    assert checks == [*arguments[arguments.index("-m") :], "--check", "True"]  # first, and of all flags
    assert neighbors[:4] == ["-m", "camml", "neighbors", f"./data/{data}"]
    assert neighbors[5] in recipes.from_yaml(ROOT / "configs" / f"{config}.yaml")
    start = arguments.index("train") + 1
    assert arguments[:1] == ["--nproc_per_node=2"]
    assert arguments[start - 3 : start] == ["-m", "camml", "train"]
    monkeypatch.chdir(ROOT)
    script_says = recipes.parse([*arguments[start:], "--dry_run", "True"])
    recipe_says = recipes.parse([f"configs/{config}.yaml", "--dry_run", "True"])
    assert script_says.model == recipe_says.model
    assert script_says.data == recipe_says.data
    assert script_says.run.output_dir == "./checkpoints/run"
    published = {"fp16", "bf16", "per_device_eval_batch_size"}
    assert differing(script_says.run, recipe_says.run) - {"tf32"} == {"seed", "output_dir", *published}


@pytest.mark.parametrize(
    ("program", "config"), [("train_camml_sqa.py", "camml_7b_sqa"), ("train_camml.py", "camml_7b")]
)
def test_recipes_are_the_published_commands(program: str, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "tests" / "seed" / "commands.md").read_text()
    [command] = [block for block in text.split("```") if "torchrun" in block and f"/{program}" in block]
    flags = shlex.split(command.replace("\\\n", " "))
    monkeypatch.chdir(ROOT)
    recipe_says = recipes.parse([f"configs/{config}.yaml", "--dry_run", "True"])
    ready = ["--neighbors", recipe_says.data.neighbors, "--dry_run", "True"]
    command_says = recipes.parse([*flags[flags.index("--deepspeed") :], *ready])
    assert differing(command_says.model, recipe_says.model) <= {"prompt_style", "perceiver_init"}  # in its program
    assert command_says.data == recipe_says.data
    ours = {"output_dir", "fp16", "bf16", "per_device_eval_batch_size", "dataloader_num_workers"}
    assert differing(command_says.run, recipe_says.run) - {"tf32"} == {*ours, "evaluation_strategy"}


def test_the_warmup_of_the_command_line_counts_however_the_recipe_gives_it(tmp_path: Path) -> None:
    recipe = tmp_path / "a.yaml"
    for given, flag, wanted in (
        ("warmup_steps: 5", "--warmup_ratio=0.5", 0.5),
        ("warmup_ratio: 0.5", "--warmup_steps=5", 5),
    ):
        recipe.write_text(given)
        assert recipes.parse([str(recipe), *ENOUGH, flag]).run.warmup_steps == wanted
        assert recipes.parse([str(recipe), *ENOUGH]).run.warmup_steps == 5.5 - wanted


@pytest.mark.parametrize(("given", "wanted"), [(["--warmup_steps", "10"], 10), ([], 0.03)])
def test_steps_of_warming_up_count_more_than_the_share_that_a_recipe_gives(given: list[str], wanted: float) -> None:
    assert recipes.parse([*ENOUGH, "--warmup_ratio", "0.03", *given]).run.warmup_steps == wanted


@pytest.mark.parametrize(
    "before", [["--seed", "4"], ["--seed=4"], ["--seed", "4", "--lora_alone"], ["--perceiver_copied", "2", "1"]]
)
def test_a_recipe_may_stand_behind_flags(before: list[str], tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "model_name_or_path: a\ndata_path: d\nicl_num: 0\nseed: 3\nperceiver_init: copy\ntune: lora\n"
    )
    run = recipes.parse([*before, str(tmp_path / "r.yaml"), "--output_dir", "o"]).run
    assert run.seed == (4 if "--seed" in before[0] else 3)


def test_the_value_of_a_flag_is_no_recipe() -> None:
    settings = recipes.parse([*ENOUGH[2:], "--model_name_or_path", "m.yaml"])
    assert settings.model.model_name_or_path == "m.yaml"


def test_a_second_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("seed: 3\n")
    with pytest.raises(OptionError, match=r"unknown argument 'b\.yaml'"):
        recipes.parse([str(tmp_path / "a.yaml"), *ENOUGH, "b.yaml"])


@pytest.mark.parametrize("word", ["no", "off", "false", "'no'"])
@pytest.mark.parametrize("flag", ["save_strategy", "eval_strategy", "evaluation_strategy"])
def test_a_strategy_that_yaml_reads_as_false_is_no(flag: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(f"{flag}: {word}\n")
    run = recipes.parse([str(tmp_path / "r.yaml"), *ENOUGH]).run
    assert getattr(run, flag) == "no"
