"""The memory that a run needs on each device, estimated before it is started."""

from dataclasses import dataclass

from camml.model import CamMLConfig
from camml.training.arguments import Settings
from camml.training.sharding import stage

GB = 2**30

SAMPLE_TOKENS, IMAGE_TOKENS = 256, 576
"""How many tokens a sample's text and, where a model does not say, its image are taken to have."""


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
    """Return what a run needs.

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
    """Return roughly what layers keep for the backward pass, and the logits with their gradients in float32.

    Source: Korthikanti et al. (2022), table 2: a layer keeps 34 numbers of one byte a token and width at 16 bits
    without the attention matrix; with checkpointing its input alone, and all that for one layer at a time. A layer of
    the perceivers has a second attention in every other layer, which keeps 32 bytes more.
    """
    run, text = settings.run, config.get_text_config()
    rows = run.per_device_train_batch_size
    read, looked_at = _perceived(settings, config)
    size = float(rows * tokens * text.vocab_size * (half + 8))
    for count, width, layers, each in (
        (rows * tokens, text.hidden_size, text.num_hidden_layers, 34),
        (read, config.perceiver_hidden_size, config.perceiver_layers, 34 + 16),
    ):
        a_layer, inputs = count * width * each * half / 2, count * width * half * layers
        size += inputs + a_layer if run.gradient_checkpointing else a_layer * layers
    return size + looked_at * config.perceiver_hidden_size * 4.0 * half


def _perceived(settings: Settings, config: CamMLConfig) -> tuple[int, int]:
    """Return how many tokens pass through the perceivers in one step, and how many the context's queries look at.

    Images and texts of samples each pass through a perceiver; of what the queries look at two copies, keys and values
    are kept.
    """
    rows, samples = settings.run.per_device_train_batch_size, settings.data.icl_num
    seen = int(getattr(config.vlm_config, "patch_tokens", IMAGE_TOKENS))
    looked_at = rows * samples * (seen + min(config.sample_max_length, SAMPLE_TOKENS))
    return looked_at + rows * 2 * config.perceiver_queries * bool(samples), looked_at
