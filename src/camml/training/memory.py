"""How much memory a run needs on each device, before it is started."""

from dataclasses import dataclass

from camml.model import CamMLConfig
from camml.training.arguments import Settings
from camml.training.sharding import stage

GB = 2**30


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes on one device of `processes`.

    `activations` is rough; the others follow from the number of parameters.
    """

    processes: int
    weights: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.weights + self.gradients + self.optimizer + self.activations

    def __str__(self) -> str:
        parts = ", ".join(
            f"{name} {getattr(self, name) / GB:.2f}" for name in ("weights", "gradients", "optimizer", "activations")
        )
        return f"{self.processes} process{'es' * (self.processes > 1)}: {self.total / GB:.2f} GB each ({parts})"


def estimate(
    settings: Settings, config: CamMLConfig, counts: dict[str, tuple[int, int]], tokens: int, processes: int
) -> Estimate:
    """What a run needs.

    Args:
      counts: parameters of each part, and how many of them are trained.
      tokens: of a row.
      processes: devices the run is on.

    Source: ZeRO (Rajbhandari et al., 2020), section 3.1, for what Adam in mixed precision keeps of a parameter.
    """
    run, model = settings.run, settings.model
    half = 2 if run.bf16 or run.fp16 else 4
    trained = sum(count for _, count in counts.values())
    frozen = sum(every - count for every, count in counts.values())
    weights = frozen * (4 if run.fsdp else half) + trained * 4.0
    if model.tune == "qlora":
        quantised = counts["language_model"][0] - counts["language_model"][1]
        weights -= quantised * (half - model.bits / 8)
    gradients, optimizer = trained * 4.0, trained * 8.0
    if run.deepspeed:  # half the width, and a copy in float32 with the optimizer
        weights, gradients = (frozen + trained) * float(half), trained * float(half)
        optimizer += trained * 4.0
    level = stage(run.deepspeed) or (3 if run.fsdp else 0)
    if level >= 1:
        optimizer /= processes
    if level >= 2:
        gradients /= processes
    if level >= 3:
        weights /= processes
    return Estimate(processes, weights, gradients, optimizer, _activations(settings, config, tokens, half))


def _activations(settings: Settings, config: CamMLConfig, tokens: int, half: int) -> float:
    """Rough: what layers keep for the backward pass, and the logits with their gradients in float32.

    Source: Korthikanti et al. (2022), table 2: a layer keeps 34 numbers of one byte a token and width at 16 bits
    without the attention matrix; with checkpointing its input alone, and all that for one layer at a time.
    """
    rows, text = settings.run.per_device_train_batch_size, config.text_config
    a_layer = rows * tokens * text.hidden_size * 34 * half / 2
    layers: int = text.num_hidden_layers
    inputs = rows * tokens * text.hidden_size * half * layers
    kept = inputs + a_layer if settings.run.gradient_checkpointing else a_layer * layers
    return float(kept + rows * tokens * text.vocab_size * (half + 8))
