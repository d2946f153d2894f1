"""The limits of the numbers among the settings of a run, which is refused before it starts where one is outside."""

import math
from collections.abc import Callable

from camml.errors import OptionError

LIMITS: tuple[tuple[str, Callable[[float], bool], tuple[str, ...]], ...] = (
    (
        "1 or more",
        lambda number: number >= 1,
        ("perceiver_hidden_size", "perceiver_querys", "perceiver_layers", "perceiver_heads",
         "perceiver_intermediate_size", "image_size", "image_pooling", "sample_max_length", "lora_r", "lora_alpha",
         "eval_rows", "model_max_length", "per_device_train_batch_size", "per_device_eval_batch_size",
         "gradient_accumulation_steps", "eval_accumulation_steps", "dataloader_prefetch_factor"),
    ),
    (
        "0 or more",
        lambda number: number >= 0,
        ("icl_num", "random_shots_max", "early_stop", "learning_rate", "lora_learning_rate", "num_train_epochs",
         "weight_decay", "adam_epsilon", "warmup_steps", "save_steps", "save_total_limit",
         "logging_steps", "eval_steps", "dataloader_num_workers"),
    ),
    ("more than 0", lambda number: number > 0, ("cache_gb",)),
    (
        "a share, 0 to 1",
        lambda number: 0 <= number <= 1,
        ("sample_image_dropout", "distill_weight"),
    ),
    (
        "a share, 0 to below 1",
        lambda number: 0 <= number < 1,
        ("perceiver_dropout", "lora_dropout", "warmup_ratio", "adam_beta1", "adam_beta2"),
    ),
    ("0 to 4294967295", lambda number: 0 <= number < 2**32, ("seed", "data_seed")),
)  # fmt: skip
"""Limits of numbers: in words, as a test, and the settings that they hold for; none of these may be infinite."""


def check(settings: object) -> None:
    """Raise if a number among some of the settings is outside its limits; one that is not given is inside.

    Raises:
      OptionError: a number is outside its limits.
    """
    for wanted, holds, names in LIMITS:
        for name in names:
            number = getattr(settings, name, None)
            if number is not None and not (number < math.inf and holds(number)):
                raise OptionError(f"--{name} is {number}; give {wanted}")
