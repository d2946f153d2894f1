"""Loss and exact match on held-out conversations while a run goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from camml import layouts
from camml.data.examples import TrainingRows
from camml.model.modeling import IGNORED
from camml.training import fixed, rows
from camml.training.arguments import DataArguments, Settings
from camml.training.rows import Loaded, Report


def as_training_set(data: DataArguments) -> DataArguments | None:
    """Return the settings of the data that --eval_data names, as those of a training set; None where it names none."""
    if not data.eval_data:
        return None
    return replace(
        data,
        data_path=data.eval_data,
        image_folder=data.eval_image_folder or data.image_folder,
        neighbors=data.eval_neighbors,
        random_shots_training=False,
        sample_image_dropout=0.0,
        store=None,
    )


def load(data: DataArguments, report: Report) -> Loaded | None:
    """Return the held-out data as `rows.load` does; None where there is none.

    Raises:
      SampleError, StoreError: as `read`.
    """
    own = as_training_set(data)
    return rows.load(own, report) if own else None


def read(
    data: DataArguments, training: TrainingRows, report: Report, loaded: Loaded | None = None
) -> TrainingRows | None:
    """Return the rows to evaluate on, all of them built as an answer is asked for; None where there are none.

    Args:
      data: the settings of all data.
      training: the rows of the run.
      loaded: what `load` gave, where it was called before.

    Raises:
      SampleError: there is data that cannot be used.
      StoreError: the neighbors are of other data.
    """
    own = as_training_set(data)
    if own is None:
        return None
    dataset = rows.read(
        own,
        training.processor,
        max_length=training.max_length,
        seed=training.seed,
        report=report,
        loaded=loaded,
    )
    dataset.conversations = layouts.spread(dataset.conversations, data.eval_rows)
    return dataset


def options(settings: Settings, held_out: TrainingRows | None) -> dict[str, Any]:
    """Return what transformers' Trainer is given for the evaluation."""
    if held_out is None:
        return {}
    stop: list[TrainerCallback] = [EarlyStop(settings.run.early_stop)] if settings.run.early_stop else []
    return {
        "eval_dataset": held_out,
        "compute_metrics": exact_match,
        "preprocess_logits_for_metrics": likeliest,
        "callbacks": stop,
    }


class EarlyStop(EarlyStoppingCallback):
    """Ends a run after so many evaluations without a better one, counting those before it was interrupted, too."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count the evaluations that the checkpoint tells of."""
        self.early_stopping_patience_counter = without_better(state.log_history)


def without_better(history: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of evaluations since the best one.

    Args:
      history: of the run's state, an entry for each line of its log; those of evaluations have `eval_exact_match`.

    Example:
      >>> without_better([{"eval_exact_match": 0.2}, {"loss": 1.0}, {"eval_exact_match": 0.1}])
      1
    """
    scores = [float(entry[fixed.BEST]) for entry in history if fixed.BEST in entry]
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0


def likeliest(logits: Any, labels: Tensor) -> Tensor:
    """Return int64[B, T]: the likeliest token at each place, all that is kept of the logits float[B, T, V]."""
    scores: Tensor = logits[0] if isinstance(logits, tuple | list) else logits
    return scores.argmax(-1)


def exact_match(results: Any) -> Mapping[str, float]:
    """Return the share of answers of which every token, the last one included, is the likeliest given those before.

    Greedy decoding gives just these answers word for word, so nothing has to be generated.

    Args:
      results: `predictions` and `label_ids`, int64[N, T], as `Trainer.evaluate` gathers them.
    """
    predicted: NDArray[np.int64] = np.asarray(results.predictions)[:, :-1]
    labels: NDArray[np.int64] = np.asarray(results.label_ids)[:, 1:]
    right = total = 0
    for row, wanted in zip(predicted, labels, strict=True):
        learned = np.flatnonzero(wanted != IGNORED)
        answers = np.split(learned, np.flatnonzero(np.diff(learned) > 1) + 1)
        total += sum(len(answer) > 0 for answer in answers)
        right += sum(len(answer) > 0 and bool((row[answer] == wanted[answer]).all()) for answer in answers)
    return {"exact_match": right / max(1, total)}
