"""What our Trainer adds to transformers'."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn
from transformers import Trainer

from camml.training.trainer import CamMLTrainer, clip_apart, split_groups


def test_chosen_parameters_step_at_a_rate_of_their_own() -> None:
    """Two steps of plain SGD under a schedule: each rate is scaled alike, and nothing is stepped twice."""
    first, second, third = (nn.Parameter(torch.zeros(1)) for _ in range(3))
    groups = [{"params": [first, second], "weight_decay": 0.0}, {"params": [third]}]
    optimizer = torch.optim.SGD(groups, lr=0.5)
    split_groups(optimizer, {id(second), id(third)}, 2.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    for _ in range(2):
        optimizer.zero_grad()
        (first + second + third).sum().backward()
        optimizer.step()
        schedule.step()
    assert [part.item() for part in (first, second, third)] == [-0.75, -3.0, -3.0]
    assert len(optimizer.param_groups) == 3


def test_nothing_chosen_changes_nothing() -> None:
    part = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([part], lr=0.5)
    split_groups(optimizer, set(), 2.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5]


class Adapted(nn.Module):
    """A weight and a LoRA matrix, with gradients of 400 and 3."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.lora_A = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.weight.grad, self.lora_A.grad = torch.tensor([400.0]), torch.tensor([3.0])

    @property
    def gradients(self) -> list[float]:
        return [round(cast(torch.Tensor, part.grad).item(), 3) for part in (self.weight, self.lora_A)]


def test_long_gradients_of_other_parts_do_not_shorten_those_of_lora() -> None:
    model = Adapted()
    assert round(clip_apart(model, 1.0).item(), 2) == 400.01
    assert model.gradients == [1.0, 1.0]
    model = Adapted()
    clip_apart(model, 5.0)
    assert model.gradients == [5.0, 3.0]
    model = Adapted()
    model.lora_A.grad = None
    assert clip_apart(model, 1.0) == 400


@pytest.mark.parametrize(("rate", "clipped"), [(1e-3, [1.0, 1.0]), (None, [1.0, 0.007])])
def test_the_trainer_clips_apart_where_lora_has_a_rate_of_its_own(rate: float | None, clipped: list[float]) -> None:
    assert hasattr(Trainer, "_clip_grad_norm")  # transformers calls it by this name
    accelerator = SimpleNamespace(unscale_gradients=lambda: None, clip_grad_norm_=nn.utils.clip_grad_norm_)
    trainer: Any = CamMLTrainer.__new__(CamMLTrainer)
    trainer.args = SimpleNamespace(lora_learning_rate=rate, max_grad_norm=1.0, fp16=False)
    trainer.accelerator, trainer.is_deepspeed_enabled, trainer._mixed_mesh_grads = accelerator, False, False
    model = Adapted()
    trainer._clip_grad_norm(model)
    assert model.gradients == clipped
