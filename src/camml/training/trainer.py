"""transformers' Trainer with our order of rows, whole checkpoints, and an account of where the time goes."""

import logging
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState

from camml.data.collate import Collator
from camml.data.examples import Key, TrainingRows
from camml.data.sampler import GroupedSampler
from camml.errors import InputError, OptionError
from camml.model import lora
from camml.model.retrieval_settings import copy_settings
from camml.training import adapters, checkpoints, distilling, results, tuning
from camml.training.arguments import RunArguments
from camml.training.processes import wait_for_all
from camml.training.skipping import in_one_line

BESIDE_LOGITS = ("past_key_values", "hidden_states", "attentions", "image_hidden_states", "rope_deltas")
"""What models of transformers return beside loss and logits."""

ADAPTER_BASE_LEFTOVERS = ("README.md",)

_logger = logging.getLogger("camml")


class CamMLTrainer(Trainer):
    """Trains on `TrainingRows`.

    Args:
      group: let a step have rows of one modality and like length.
      base: where the weights are that the run started from; see `building.base_of`.
      eval_collator: makes batches of the rows to evaluate on, whose images are in no cache of features.
      arguments: those of `Trainer`.
    """

    def __init__(
        self, *, group: bool, base: Mapping[str, str], eval_collator: Collator | None = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.eval_collator = eval_collator
        self.group = group
        self.base = base
        self.sampler: GroupedSampler | None = None
        self.meter = Meter()
        self.add_callback(_Epochs(self))

    def _get_train_sampler(self, train_dataset: TrainingRows | None = None) -> Sampler[Key]:
        rows = (train_dataset or self.train_dataset).conversations
        args = self.args
        self.sampler = GroupedSampler(
            [row.words for row in rows],
            [row.image is not None for row in rows],
            args.train_batch_size * args.world_size * args.gradient_accumulation_steps,
            args.data_seed if args.data_seed is not None else args.seed,
            group=self.group,
        )
        return self.sampler

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """Return the loader that transformers makes, of all rows, with batches made by the collator for it."""
        this: Any = self  # transformers gives this attribute no type
        training = this.data_collator, this.args.dataloader_drop_last
        this.data_collator, this.args.dataloader_drop_last = this.eval_collator or this.data_collator, False
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            this.data_collator, this.args.dataloader_drop_last = training

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss as transformers does, mixed with the distance to a teacher, where there is one."""
        tokens, scores = inputs.pop("teacher_tokens", None), inputs.pop("teacher_scores", None)
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if tokens is not None:
            share, items = self.args.distill_weight, (tokens[:, 0] >= 0).sum().clamp(min=1)
            scale = 1
            if self.model_accepts_loss_kwargs and num_items_in_batch is not None:
                items = num_items_in_batch
                scale = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
            far = distilling.divergence(outputs["logits"], inputs["labels"], tokens, scores) / items * scale
            loss = (1 - share) * loss + share * far
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> Any:
        """Predict as transformers does, for the logits alone: what else a model gives is not gathered."""
        return super().prediction_step(model, inputs, prediction_loss_only, [*(ignore_keys or ()), *BESIDE_LOGITS])

    def take_best(self) -> None:
        """Go back to the checkpoint that did best on the held-out rows, where there are any; warn if it is gone."""
        step = self.state.best_global_step
        if self.eval_dataset is None or not step or step == self.state.global_step:
            return
        best, score = Path(self.args.output_dir) / f"checkpoint-{step}", self.state.best_metric
        try:
            there = checkpoints.state_of(best) == (step, step, score)  # and none of another branch of the run
        except OptionError:
            there = False
        if there:
            self._load_from_checkpoint(str(best))
        if is_main_process() and there:
            print(f"camml: step {step} did best ({score:.1%} exact): its weights", file=sys.stderr)
        elif is_main_process():  # weights that did less well are better than a run that was for nothing
            now = self.state.global_step
            _logger.warning("%s, which did best (%.1f%% exact), is gone: the model has the weights of step %d",
                            best, 100 * score, now)  # fmt: skip

    def create_optimizer(self, *arguments: Any, **options: Any) -> torch.optim.Optimizer:
        """Make transformers' optimizer, with a learning rate of their own for LoRA matrices where there is one."""
        optimizer: torch.optim.Optimizer = super().create_optimizer(*arguments, **options)
        if self.args.lora_learning_rate is not None:
            names = {id(parameter): name for name, parameter in self.model.named_parameters()}
            split_groups(
                optimizer, {key for key, name in names.items() if "lora_" in name}, self.args.lora_learning_rate
            )
        return optimizer

    def _clip_grad_norm(self, model: Any) -> Any:
        """Clip gradients as transformers does, but those of LoRA by their own norm where it has its own learning rate.

        Perceivers that start as copies have gradients some hundred times as long as those of LoRA. Clipped together
        with them, LoRA hardly learned: in 200 steps of `mini` to a loss of 1.1 instead of 0.4.
        """
        if self.args.lora_learning_rate is None or self.is_deepspeed_enabled:  # DeepSpeed clips on its own
            return super()._clip_grad_norm(model)
        self.accelerator.unscale_gradients()
        return clip_apart(model, self.args.max_grad_norm)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """Fetch batches as transformers does, with a stopwatch: what is spent here is spent waiting for data.

        Raises:
          SampleError, ImageError: data that cannot be trained on.
        """
        started = time.perf_counter()
        try:
            batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        except InputError as error:
            raise in_one_line(error) from error
        self.meter.waited += time.perf_counter() - started
        for batch in batches:
            self.meter.tokens += int(batch["attention_mask"].sum()) * self.args.world_size
            self.meter.samples += len(batch["attention_mask"]) * self.args.world_size
        return batches, items

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log as transformers does, and with the rates since the last time."""
        if "loss" in logs:
            logs |= self.meter.read()
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save as transformers does, into a folder that gets the name of a checkpoint when all of it is on the disk."""
        output, name = Path(self.args.output_dir), f"checkpoint-{self.state.global_step}"
        unfinished = output / checkpoints.UNFINISHED
        if self.is_local_process_zero():
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True, exist_ok=True)
        wait_for_all()
        self._staging = unfinished
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._staging = None
            self.state.best_model_checkpoint = None  # a path in the folder that checkpoints leave; the step counts
        if self.args.should_save:
            self.state.save_to_json(str(unfinished / name / checkpoints.STATE))  # again, without that path
        wait_for_all()
        if self.is_world_process_zero():
            checkpoints.commit(unfinished / name, output / name)
            checkpoints.rotate(output, self.args.save_total_limit, self.state.best_global_step)
        wait_for_all()
        if self.is_local_process_zero() and (unfinished / name).is_dir():  # another machine with a disk of its own
            checkpoints.commit(unfinished / name, output / name)
            checkpoints.rotate(output, self.args.save_total_limit, self.state.best_global_step)
        wait_for_all()

    _staging: Path | None = None

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging) if self._staging else str(super()._get_output_dir(trial))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Save as transformers does; beside an adapter what CaMML adds, which PEFT leaves out, and where it began."""
        super()._save(output_dir, state_dict)
        if adapters.is_adapter(self.model) and self.args.should_save:
            tensors = state_dict or self.model.state_dict()
            config = tuning.bare(self.model).config
            lora.save(Path(output_dir or self.args.output_dir), self.base, config, tensors)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with checkpoints.fitting(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled  # their own files hold all that is trained
            if adapters.is_adapter(self.model) and not sharded:
                lora.load_added(model or self.model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with checkpoints.fitting(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def save_final(self, start: Path | None = None) -> None:
        """Write the finished model to the folder of the run, as an ordinary model folder (with LoRA: the adapter).

        Args:
          start: a model folder that the run started from; samples for the model are found as for that.
        """
        output = Path(self.args.output_dir)
        unfinished = output / checkpoints.UNFINISHED / "final"
        if self.is_world_process_zero():
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        wait_for_all()
        self.save_model(str(unfinished))
        wait_for_all()
        if self.is_world_process_zero():
            for leftover in ADAPTER_BASE_LEFTOVERS:
                (unfinished / leftover).unlink(missing_ok=True)
            if start is not None:
                copy_settings(start, unfinished)
            results.publish(unfinished, output)
            shutil.rmtree(output / checkpoints.UNFINISHED, ignore_errors=True)
        wait_for_all()


def split_groups(optimizer: torch.optim.Optimizer, chosen: set[int], learning_rate: float) -> None:
    """Give the parameters whose `id` is among `chosen` groups of their own, with `learning_rate`."""
    groups = []
    for group in optimizer.param_groups:
        inside = [parameter for parameter in group["params"] if id(parameter) in chosen]
        outside = [parameter for parameter in group["params"] if id(parameter) not in chosen]
        groups += [{**group, "params": outside}] if outside else []
        groups += [{**group, "params": inside, "lr": learning_rate}] if inside else []
    optimizer.param_groups = groups


def clip_apart(model: nn.Module, max_norm: float) -> torch.Tensor:
    """Scale the gradients of LoRA matrices, and those of all else, to a norm of at most `max_norm` each.

    Returns:
      The norm of all gradients before.
    """
    parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        parts["lora_" in name].append(parameter)
    norms = [nn.utils.clip_grad_norm_(part, max_norm) for part in parts.values() if part]
    return torch.linalg.vector_norm(torch.stack(norms))


class Meter:
    """Counts of what happened since it was last read."""

    def __init__(self) -> None:
        self.waited = 0.0
        self.tokens = 0
        self.samples = 0
        self.started = time.perf_counter()

    def read(self) -> dict[str, float]:
        """Return tokens and samples a second on all processes, the share of time without data, memory in gigabytes."""
        seconds = time.perf_counter() - self.started
        metrics = {
            "tokens_per_second": round(self.tokens / seconds, 1),
            "samples_per_second": round(self.samples / seconds, 3),
            "waiting_for_data": round(self.waited / seconds, 4),
        }
        if torch.cuda.is_available():
            metrics["gpu_memory_gb"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        self.__init__()  # type: ignore[misc]
        return metrics


class _Epochs(TrainerCallback):
    """Tells the sampler which epoch begins; the loaders that transformers builds around it do not always."""

    def __init__(self, trainer: CamMLTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, args: RunArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Tell the sampler its epoch; the state counts epochs with their finished part."""
        if self.trainer.sampler is not None:
            self.trainer.sampler.epoch = int(round(state.epoch or 0, 6))


def is_main_process() -> bool:
    """Return whether this process is the one that speaks and writes."""
    return int(os.environ.get("RANK", "0")) == 0
