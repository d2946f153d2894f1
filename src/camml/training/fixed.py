"""Flags of transformers' TrainingArguments of which one value is supported; others would do nothing, or harm."""

from typing import Any

from camml.errors import OptionError

BEST = "eval_exact_match"
"""Measure by which the best checkpoint is chosen."""

_BY_MATCHES = "the best checkpoint is that with the most exact matches"
_OWN_ROWS = "CaMML makes the rows and their order; see --group_by_modality_length True"
_PREDICTIONS = "exact matches are counted over the predictions for all held-out rows"

FIXED: tuple[tuple[str, tuple[object, ...], str], ...] = (
    ("do_train", (True,), "`camml train` trains; --check True and --dry_run True only look, `camml eval run` measures"),
    ("label_smoothing_factor", (0,), "the loss is the cross-entropy of answers, unsmoothed"),
    ("do_predict", (False,), "`camml eval run` has a model answer"),
    ("train_sampling_strategy", ("random",), _OWN_ROWS),
    ("length_column_name", ("length",), _OWN_ROWS),
    ("label_names", (None, ["labels"]), _OWN_ROWS),
    ("metric_for_best_model", (None, BEST, BEST.removeprefix("eval_")), _BY_MATCHES),
    ("greater_is_better", (None, True), _BY_MATCHES),
    ("prediction_loss_only", (False,), _PREDICTIONS),
    ("batch_eval_metrics", (False,), _PREDICTIONS),
    ("eval_do_concat_batches", (True,), _PREDICTIONS),
)
"""Flags with the values that they can have, and what there is instead of others."""


def check(run: Any) -> None:
    """Raise if a flag asks for what is not supported.

    Args:
      run: the `RunArguments`, as they were given.

    Raises:
      OptionError: one does; the message says what there is instead.
    """
    for name, known, instead in FIXED:
        value = getattr(run, name)
        if value not in known:
            raise OptionError(f"--{name} is {value!r}, which is not supported: {instead}; leave it out")
