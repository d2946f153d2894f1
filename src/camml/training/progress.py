"""The progress bar of a training run."""

import sys
import time
from typing import Any

from tqdm import tqdm
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from camml.training.arguments import RunArguments
from camml.training.fixed import BEST

LINE_SECONDS = 60.0
"""The longest time between two lines where there is no terminal; no line comes before the next figures, though."""


class Progress(TrainerCallback):
    """One line on standard error: steps, loss, rates, memory, the share of time without data.

    Where no terminal is, a plain line at every tenth of the run, and one a minute.
    """

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._shown, self._shown_at = -1, 0.0
        self._evaluated = ""

    @classmethod
    def replace_default(cls, trainer: Trainer) -> None:
        """Let `trainer` show this instead of what transformers shows."""
        for theirs in (ProgressCallback, PrinterCallback):
            trainer.remove_callback(theirs)
        trainer.add_callback(cls())

    def on_train_begin(self, args: RunArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Open the bar."""
        if state.is_world_process_zero and sys.stderr.isatty() and not args.disable_tqdm:
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, desc="training", file=sys.stderr)

    def on_step_end(self, args: RunArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self,
        args: RunArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Show the figures."""
        if state.is_world_process_zero and logs and "eval_loss" in logs:
            self._evaluated = f"held out {logs[BEST]:.1%} exact, loss {logs['eval_loss']:.4f}"
            if self._bar is None:
                print(f"camml: step {state.global_step} of {state.max_steps}: {self._evaluated}", file=sys.stderr)
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        text = (
            f"loss {logs['loss']:.4f}, {logs['tokens_per_second']:.0f} tokens/s, "
            f"{logs['samples_per_second']:.2f} samples/s, {logs['waiting_for_data']:.0%} waiting"
        )
        if "gpu_memory_gb" in logs:
            text += f", {logs['gpu_memory_gb']:.1f} GB"
        if self._bar is not None:
            self._bar.set_postfix_str(f"{text}; {self._evaluated}" if self._evaluated else text, refresh=False)
            return
        tenth, now = 10 * state.global_step // max(state.max_steps, 1), time.monotonic()
        if tenth != self._shown or now - self._shown_at >= LINE_SECONDS:
            self._shown, self._shown_at = tenth, now
            print(f"camml: step {state.global_step} of {state.max_steps}: {text}", file=sys.stderr)

    def on_train_end(self, args: RunArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
