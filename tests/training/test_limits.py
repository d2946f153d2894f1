"""Numbers among the settings that no run can work with."""

from pathlib import Path

import pytest

from camml.errors import OptionError
from camml.training import limits, recipes

ENOUGH = ["--model_name_or_path", "m", "--data_path", "d", "--icl_num", "0", "--output_dir", "o"]


def test_every_name_in_the_table_is_a_flag_and_is_there_once() -> None:
    listed = [name for _, _, names in limits.LIMITS for name in names]
    assert set(listed) <= set(recipes.names())
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("per_device_train_batch_size", "0", "1 or more"),
        ("gradient_accumulation_steps", "0", "1 or more"),
        ("learning_rate", "nan", "0 or more"),
        ("learning_rate", "inf", "0 or more"),
        ("learning_rate", "-1", "0 or more"),
        ("lora_learning_rate", "nan", "0 or more"),
        ("num_train_epochs", "-3", "0 or more"),
        ("logging_steps", "inf", "0 or more"),
        ("save_total_limit", "-1", "0 or more"),
        ("perceiver_dropout", "5", "a share, 0 to below 1"),
        ("perceiver_heads", "0", "1 or more"),
        ("lora_r", "0", "1 or more"),
        ("lora_r", "-1", "1 or more"),
        ("lora_alpha", "0", "1 or more"),
        ("lora_dropout", "1", "a share, 0 to below 1"),
        ("cache_gb", "nan", "more than 0"),
        ("seed", "-1", "0 to 4294967295"),
    ],
)
@pytest.mark.parametrize("mode", [[], ["--check", "True"], ["--dry_run", "True"]], ids=["start", "check", "dry run"])
def test_a_number_outside_its_limits_is_refused(name: str, value: str, wanted: str, mode: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        recipes.parse([*ENOUGH, f"--{name}", value, *mode])
    assert str(caught.value).startswith(f"--{name} is {value}")
    assert str(caught.value).endswith(f"; give {wanted}")


@pytest.mark.parametrize("name", [name for _, _, names in limits.LIMITS for name in names])
def test_no_limited_number_may_be_infinite_or_none_at_all(name: str) -> None:
    for value in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(OptionError, match=f"--{name} is "):
            limits.check(type("Some", (), {name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lora_bias", "some"),
        ("quant_type", "int4"),
        ("report_to", "nosuch"),
        ("lr_scheduler_type", "reduce_lr_on_plateau"),  # it is known to transformers, which wants evaluations for it
    ],
)
def test_a_word_that_no_run_knows_is_refused_with_those_it_knows(name: str, value: str) -> None:
    with pytest.raises(OptionError, match=rf"^--{name} is '{value}'; it can be: \w+, "):
        recipes.parse([*ENOUGH, f"--{name}", value])


def test_steps_of_which_none_saves_a_checkpoint_are_refused() -> None:
    with pytest.raises(OptionError, match=r"--save_steps is 0, .*give 1 or more, or --save_strategy no"):
        recipes.parse([*ENOUGH, "--save_steps", "0"])
    assert recipes.parse([*ENOUGH, "--save_steps", "0", "--save_strategy", "no"]).run.save_steps == 0
    held_out = ["--eval_data", "e", "--save_strategy", "no", "--save_steps", "0"]
    with pytest.raises(OptionError, match=r"--save_steps is 0, .*give 1 or more$"):
        recipes.parse([*ENOUGH, *held_out])
    assert recipes.parse([*ENOUGH, *held_out, "--eval_steps", "5"]).run.save_steps == 5


@pytest.mark.parametrize("mode", [[], ["--check", "True"], ["--dry_run", "True"]], ids=["start", "check", "dry run"])
def test_the_folder_of_a_run_is_no_file_and_below_none(tmp_path: Path, mode: list[str]) -> None:
    file = tmp_path / "red.csv"
    file.write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for output, there in ((file, file), (file / "a" / "b", file), (tmp_path / "link", tmp_path / "link")):
        with pytest.raises(OptionError) as caught:
            recipes.parse([*ENOUGH[:-1], str(output), *mode])
        assert str(caught.value).startswith(f"--output_dir {output}: {there} is a file; ")
    assert file.read_text() == "mine"
    assert recipes.parse([*ENOUGH[:-1], str(tmp_path / "new" / "run"), *mode]).output == tmp_path / "new" / "run"
