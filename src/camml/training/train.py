"""A training run from settings to a model folder."""

import sys
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed
from transformers.utils import logging as transformers_logging

from camml import weights
from camml.data import origins
from camml.data.collate import Collator
from camml.data.examples import TrainingRows
from camml.errors import InputError
from camml.neighbors import NeighborTable
from camml.training import (
    adapters,
    building,
    checkpoints,
    continuing,
    distilling,
    evaluating,
    features,
    remote,
    reports,
    results,
    resuming,
    rows,
    tuning,
)
from camml.training.arguments import Settings
from camml.training.processes import first_before_others
from camml.training.progress import Progress
from camml.training.skipping import Skipped
from camml.training.trainer import CamMLTrainer, is_main_process


def train(settings: Settings) -> Path:
    """Train, and return the folder with the model, its processor, `run.json`, `loss.png` and a model card.

    A run that was interrupted goes on from its newest checkpoint. One whose `--output_dir` is an address of object
    storage leaves all of that there, too.

    Raises:
      CaMMLError: something about model, data or settings is wrong; before any step is taken.
    """
    run = settings.run
    if run.full_determinism:
        from transformers import enable_full_determinism

        enable_full_determinism(run.seed)
    set_seed(run.seed)
    results.check_place(settings)
    away = remote.join(run, settings.output)
    resume = checkpoints.to_resume(settings.output, run.resume_from_checkpoint)
    skipped: list[str] = []
    trainer = prepare(settings, skipped)
    record = reports.Record.of(settings, skipped)
    if resume:
        record.check_same(settings.output)
        record.check_same(resume.parent, resuming.WITHOUT)
        _leave_branch(settings, resume, away)
    trainer.add_callback(_Begin(record, settings.output, away, run.early_stop))
    if away:
        trainer.add_callback(remote.Upload(away))
    metrics: dict[str, float] = {}
    has_record = False
    try:
        with adapters.without_casts(trainer.model, trainer.args):
            metrics = trainer.train(resume_from_checkpoint=str(resume) if resume else None).metrics
    except _NothingLeft as reason:
        began = resume.parent if resume else settings.output
        record = record.as_before(began)  # of the run that made these weights
        has_record = bool(record.result) and began.resolve() == settings.output.resolve()
        if is_main_process():
            print(f"camml: nothing was left to train: {reason}", file=sys.stderr)
    trainer.take_best()
    trainer.save_final(weights.folder(settings.model.pretrain_lora or settings.model.model_name_or_path))
    if is_main_process():
        if not has_record:
            record.skipped = Skipped(settings.output).move_to(record.skipped)
            reports.finish(settings.output, record, trainer.state, metrics, trainer.model)
        if away:
            away.publish()
    return settings.output


class _NothingLeft(Exception):
    """Ends a run that has all of its steps, once its checkpoint is loaded: the Trainer would take one more."""


class _Begin(TrainerCallback):
    """Writes the record of a run before its first step, and not before its checkpoint is known to fit."""

    def __init__(self, record: reports.Record, output: Path, away: remote.RemoteRun | None, patience: int) -> None:
        self.record, self.output, self.away, self.patience = record, output, away, patience

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Write the record, and upload it.

        Raises:
          _NothingLeft: there is no step to take.
        """
        now, end = state.global_step, state.max_steps
        if now >= max(end, 1):
            raise _NothingLeft(f"the checkpoint is of step {now}, the run ends with step {end}")
        patience, waited = self.patience, evaluating.without_better(state.log_history)
        if patience and waited >= patience:
            raise _NothingLeft(
                f"the run was stopped early at step {now}, after {waited} evaluations without a better one; with "
                f"--early_stop {waited + 1} or more, or without it, the run goes on"
            )
        if is_main_process():
            self.output.mkdir(parents=True, exist_ok=True)
            self.record.write(self.output)
            if self.away:
                self.away.begin()


def _leave_branch(settings: Settings, resume: Path, away: remote.RemoteRun | None) -> None:
    """Take later checkpoints out of the way of a run that goes on from one that was named.

    Raises:
      OptionError, DiskError: as `checkpoints.abandon_later`.
    """
    run = settings.run
    if run.resume_from_checkpoint in checkpoints.NEWEST:
        return
    with run.main_process_first(local=False):  # folders may be shared, or each machine's own
        if away and is_main_process():
            away.abandon_later(resume)
        if run.local_process_index == 0:
            checkpoints.abandon_later(settings.output, resume)


def prepare(settings: Settings, skipped: list[str] | None = None) -> CamMLTrainer:
    """Return a trainer with model and data, ready to go.

    Args:
      skipped: takes the reasons for samples that are left out.
    """

    def report(error: InputError) -> None:
        if skipped is not None:
            skipped.append(str(error))
        if is_main_process():
            print(f"camml: skipped: {error}", file=sys.stderr)

    run, data = settings.run, settings.data
    later = Skipped(settings.output)
    if settings.model.pretrain_lora:
        continuing.check(settings.model)
    loaded, own = rows.load(data, report), evaluating.load(data, report)  # before any model: what is missing is said
    # the configuration of DeepSpeed is in force from here on: models are then loaded in pieces
    model, processor = building.build(settings.model, dtype=building.base_dtype(settings.model, run))
    _ = run.device  # joins the other processes, which share the work
    dataset = rows.read(
        data,
        processor,
        max_length=run.model_max_length,
        seed=run.data_seed if run.data_seed is not None else run.seed,
        report=report,
        skipped=later,
        loaded=loaded,
    )
    rows.check_steps(dataset, model, run)
    held_out = evaluating.read(data, dataset, report, own)
    vision_features = features.prepare(settings, model, dataset, report)
    lessons = _lessons(settings, dataset)
    trained = tuning.freeze(model, settings.model)
    if settings.model.pretrain_lora:
        continuing.load_matrices(trained, settings.model)
    if not run.deepspeed:
        tuning.in_float32(trained)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    trainer = CamMLTrainer(
        group=data.group_by_modality_length,
        base=building.base_of(settings.model),
        model=trained,
        args=run,
        train_dataset=dataset,
        data_collator=Collator(processor, vision_features, later if data.on_bad_sample == "skip" else None, lessons),
        eval_collator=Collator(processor, None, later if data.on_bad_sample == "skip" else None),
        processing_class=processor,
        **evaluating.options(settings, held_out),
    )
    Progress.replace_default(trainer)
    return trainer


def _lessons(settings: Settings, dataset: TrainingRows) -> distilling.TeacherLogProbs | None:
    """Return what a teacher says about the rows, computed by the first process; None without --distill."""
    data, run = settings.data, settings.run
    if not data.distill:
        return None
    folder = Path(data.distill_cache) if data.distill_cache else settings.output / "teacher"
    about = {"data": origins.file_hash(Path(data.data_path))}
    if data.neighbors and data.icl_num:
        about["neighbors"] = NeighborTable.open(data.neighbors).origin.digest
    with first_before_others(is_main_process()):
        return distilling.prepare(data.distill, folder, dataset, about, str(run.device))
