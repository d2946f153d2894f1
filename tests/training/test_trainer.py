"""What our Trainer adds to transformers'."""

import torch
from torch import nn

from camml.training.trainer import split_groups


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
