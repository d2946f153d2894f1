"""The files that a run leaves beside its weights: `run.json`, `loss.png`, a model card."""

import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import nn
from transformers.trainer_callback import TrainerState

from camml.durable import write_file
from camml.model import card
from camml.training import resuming, tuning
from camml.training.arguments import Settings
from camml.training.results import RUN

PLOT = "loss.png"
PACKAGES = ("camml", "torch", "transformers", "accelerate", "peft", "deepspeed", "bitsandbytes", "numpy", "pillow")


@dataclass(slots=True)
class Record:
    """Everything that says what a run is.

    Attributes:
      settings: the flags that differ from their defaults.
      base: a hash of the weights of each part that it starts from, see `resuming.sampled_hash`.
      data, neighbors: hashes of the training set and of the manifest of its neighbors.
      step_rows: rows of one optimizer step on all processes.
      skipped: samples that were left out and why.
    """

    settings: dict[str, Any]
    model: dict[str, Any]
    base: dict[str, str]
    data: str
    neighbors: str | None
    seed: int
    step_rows: int
    tune: str
    git: str | None
    versions: dict[str, str]
    machine: dict[str, Any]
    skipped: list[str]
    started: str
    result: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, skipped: list[str]) -> "Record":
        """Return the record of a run that begins."""
        run = settings.run
        return cls(
            **resuming.deciding(settings),
            step_rows=run.train_batch_size * run.world_size * run.gradient_accumulation_steps,
            git=_git_revision(),
            versions=_versions(),
            machine={"processes": run.world_size, "device": str(run.device), "platform": platform.platform()},
            skipped=skipped,
            started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        )

    def as_before(self, folder: Path) -> "Record":
        """Return the record of the run in a folder; what that does not tell is as in this one."""
        try:
            before = json.loads((folder / RUN).read_bytes())
        except FileNotFoundError:
            return self
        return replace(self, **{name: before[name] for name in asdict(self) if name in before})

    def write(self, output: Path) -> None:
        """Write `run.json`."""
        write_file(output / RUN, self._as_json())

    def check_same(self, folder: Path, remedy: str = resuming.ELSEWHERE) -> None:
        """Raise unless the run in `folder` is this one, see `resuming.check_same`.

        Raises:
          OptionError: it is another one, so it cannot be continued.
        """
        resuming.check_same(json.loads(self._as_json()), folder, remedy)

    def _as_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, default=str).encode()


def finish(output: Path, record: Record, state: TrainerState, metrics: dict[str, Any], model: nn.Module) -> None:
    """Complete `run.json`, draw the loss, write the model card."""
    losses = [(entry["step"], entry["loss"]) for entry in state.log_history if "loss" in entry]
    record.result = {
        "steps": state.global_step,
        "epochs": state.epoch,
        "first_loss": losses[0][1] if losses else None,
        "last_loss": losses[-1][1] if losses else None,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **{name: value for name, value in metrics.items() if name != "total_flos"},
    }
    record.write(output)
    plot(losses, output / PLOT)
    card.write(output, card_of(record, model))


def plot(losses: list[tuple[int, float]], path: Path) -> None:
    """Draw the loss by step; nothing where matplotlib is not installed or there is nothing to draw."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    if not losses:
        return
    steps, values = zip(*losses, strict=True)
    smooth, mean = [], values[0]
    for value in values:
        mean = 0.9 * mean + 0.1 * value
        smooth.append(mean)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, values, linewidth=0.8, alpha=0.4, label="each step logged")
    axes.plot(steps, smooth, linewidth=1.6, label="running mean")
    axes.set(xlabel="step", ylabel="loss (nats a token)")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def card_of(record: Record, model: nn.Module) -> str:
    """Return the model card of a run."""
    arguments, result = record.model, record.result
    flags = "\n".join(f"{name}: {value}" for name, value in record.settings.items() if value not in (None, [], ""))
    adapter = record.tune in ("lora", "qlora")
    tower = arguments["vision_tower"]
    named = "Language model" if tower else "Started from"
    parts_of = f"{named}: `{arguments['model_name_or_path']}`." + (f" Vision tower: `{tower}`." if tower else "")
    story = (
        f"{parts_of}\nTrained: {record.tune}, {result.get('steps')} steps of {record.step_rows} samples, last loss "
        f"{result.get('last_loss')}.\n"
    )
    return card.compose(
        tuning.bare(model).config,
        tuning.count_parameters(model),
        heading="LoRA adapter and perceivers of a CaMML model" if adapter else "CaMML model",
        adapter=adapter,
        story=story,
        appendix=(
            f"## The run\n\nTraining set (SHA-256): `{record.data}`. Git revision: `{record.git}`. Everything else "
            f"is in `{RUN}`.\n\n```yaml\n{flags}\n```\n"
        ),
    )


def _git_revision() -> str | None:
    """Return the revision of the code, with "+" where it was changed; None outside of a checkout."""
    folder = Path(__file__).parent
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _versions() -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
