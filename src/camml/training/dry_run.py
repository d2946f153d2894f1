"""A dry run: everything that can be known about a run without its weights and without a step."""

import os

from camml.data.examples import Example, TrainingRows
from camml.errors import InputError
from camml.model import CamMLForConditionalGeneration, CamMLProcessor
from camml.model.modeling import IGNORED
from camml.training import building, checkpoints, continuing, evaluating, memory, results, resuming, rows, tuning
from camml.training.arguments import Settings

SHOWN = 3
MEASURED = 64
TRAINED = ("\u27e6", "\u27e7")
"""Around what is trained."""


def report(settings: Settings) -> str:
    """Check the data; show rows with what is trained of them, parameters by part, and the memory that is needed.

    Raises:
      CaMMLError: what a run would stop at.
    """
    run = settings.run
    check_resume(settings)
    skipped: list[InputError] = []
    start = [f"goes on from {continuing.check(settings.model)}"] if settings.model.pretrain_lora else []
    model, processor = building.sketch(settings.model)
    dataset = rows.read(settings.data, processor, max_length=run.model_max_length, seed=run.seed, report=skipped.append)
    rows.check_full(dataset, run, run.per_device_train_batch_size)
    lines = [
        *start,
        f"{len(dataset)} samples, {sum(row.image is not None for row in dataset.conversations)} with an image",
    ]
    if held_out := evaluating.read(settings.data, dataset, skipped.append):
        lines.append(f"{len(held_out)} held-out samples")
    lines += [f"skipped: {error}" for error in skipped]
    chosen = spread_out(len(dataset), SHOWN)
    lines += [f"\nsample {example.id}\n{show(example, processor)}" for example in map(dataset.__getitem__, chosen)]
    return "\n".join([*lines, *memory_lines(settings, model, dataset)])


def check_resume(settings: Settings) -> None:
    """Raise if a run in a folder on this machine could not begin there, or not go on as --resume_from_checkpoint says.

    Raises:
      OptionError: there is no such checkpoint, a new start would mix with an old run, a finished model is there, or the
        run that began is another one.
    """
    run = settings.run
    results.check_place(settings)
    if run.output_dir and not run.remote:
        resume = checkpoints.to_resume(settings.output, run.resume_from_checkpoint)
        if resume:
            resuming.check_planned(settings, resume)


def memory_lines(settings: Settings, model: CamMLForConditionalGeneration, dataset: TrainingRows) -> list[str]:
    """Return the parameters by part as a table, and the memory of each device for several numbers of them."""
    counts = tuning.count_parameters(tuning.freeze(model, settings.model))
    lines = [f"\n{'part':20}{'parameters':>16}{'trained':>16}"]
    lines += [f"{part:20}{every:16,}{those:16,}" for part, (every, those) in counts.items()]
    tokens = longest(dataset)
    batch = settings.run.per_device_train_batch_size
    lines.append(f"\nmemory, with {batch} rows of {tokens} tokens (activations are a rough estimate):")
    counts_given = (os.environ.get(name, "") for name in ("WORLD_SIZE", "GPUS_PER_NODE"))
    for processes in sorted({1, 8, *(int(text) for text in counts_given if text.isdigit() and int(text))}):
        lines.append(str(memory.estimate(settings, model.config, counts, tokens, processes)))
    return lines


def spread_out(count: int, most: int) -> list[int]:
    """Return at most `most` row numbers from the first to the last."""
    most = min(count, most)
    return sorted({round(number * (count - 1) / max(most - 1, 1)) for number in range(most)})


def longest(dataset: TrainingRows) -> int:
    """Return the most tokens of the rows that have the most words."""
    by_words = sorted(range(len(dataset)), key=lambda row: -dataset.conversations[row].words)[:MEASURED]
    return max(len(dataset[row].input_ids) for row in by_words)


def show(example: Example, processor: CamMLProcessor) -> str:
    """Return a row as text: placeholders counted, what is trained in brackets, and the texts of its context."""
    slots = {processor.context_token_id: "context", processor.image_token_id: "image"}
    pieces: list[tuple[object, list[int]]] = []
    for token, label in zip(example.input_ids, example.labels, strict=True):
        kind: object = slots.get(token, label != IGNORED)
        if not pieces or pieces[-1][0] != kind:
            pieces.append((kind, []))
        pieces[-1][1].append(token)
    text = ""
    for kind, tokens in pieces:
        words = processor.decode(tokens, skip_special_tokens=False)
        opened, closed = TRAINED if kind is True else ("", "")
        text += f"<{kind} x {len(tokens)}>" if isinstance(kind, str) else f"{opened}{words}{closed}"
    context = [f"  context {sample.id}: {' '.join(sample.text.split())[:100]}" for sample in example.samples]
    return "\n".join([text, *context])
