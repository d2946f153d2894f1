"""What was trained beside the weights of a model, added to them."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from camml.errors import ModelFolderError
from camml.model.lora import add_products, load
from tests import tiny


@pytest.mark.parametrize(
    "trained",
    [
        {"9.lora_A": torch.ones(1, 2), "9.lora_B": torch.ones(3, 1)},
        {"0.lora_A": torch.ones(1, 2)},
        {"0.lora_A": torch.ones(1, 3), "0.lora_B": torch.ones(3, 1)},
        {"9.bias": torch.ones(3)},
        {"0.bias": torch.ones(4)},
        {"0.bias": torch.ones(1)},
    ],
    ids=["no such part", "half of a pair", "another width", "no such bias", "a longer bias", "a bias of one number"],
)
def test_what_does_not_fit_is_named_with_its_folder(trained: dict[str, torch.Tensor]) -> None:
    [name] = {key.partition(".lora_")[0] for key in trained}
    with pytest.raises(ModelFolderError, match=f"what run keeps of {name} does not fit"):
        add_products(nn.Sequential(nn.Linear(2, 3)), trained, 1.0, Path("run"))


@pytest.mark.parametrize("part", ["camml", "vlm", "language_model"])
def test_a_base_that_was_moved_is_said_with_the_file_that_names_it(part: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 8, "r": 4}')
    about = {"base": {part: str(tmp_path / "gone")}, "config": json.loads(tiny.config().to_json_string(use_diff=False))}
    (tmp_path / "camml_base.json").write_text(json.dumps(about))
    with pytest.raises(ModelFolderError) as caught:
        load(tmp_path)
    file = tmp_path / "camml_base.json"
    assert f"{tmp_path} was trained on '{tmp_path / 'gone'}', which is not there" in str(caught.value)
    assert f"write into {file} where it is now" in str(caught.value)
