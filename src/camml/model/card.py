"""The model card: what a folder says about itself to people and to the model hub, and the way to the hub."""

import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from huggingface_hub import HfApi, ModelCardData
from torch import nn

from camml import weights
from camml.durable import write_file
from camml.model.config import CamMLConfig

CARD = "README.md"
TAGS = ("camml", "multimodal", "retrieval")
PIPELINE = "image-text-to-text"

MARK = b"\n<!-- written by camml, and brought up to date until somebody edits it: "
"""What stands before the hash of a card, by which one that was edited is told from one that was not."""


def write(folder: Path, text: str) -> None:
    """Write a card into a folder, unless the one that is there was written or edited by somebody."""
    file, data = folder / CARD, text.encode()
    if not file.is_file() or _is_untouched(file.read_bytes()):
        write_file(file, data + MARK + sha256(data).hexdigest().encode() + b" -->\n")


def _is_untouched(card: bytes) -> bool:
    """Return whether a card is as `write` wrote it."""
    text, mark, end = card.rpartition(MARK)
    return bool(mark) and end == sha256(text).hexdigest().encode() + b" -->\n"


def compose(
    config: CamMLConfig,
    counts: Mapping[str, Sequence[int]],
    *,
    heading: str = "CaMML model",
    adapter: bool = False,
    story: str = "",
    appendix: str = "",
    tags: Sequence[str] = (),
) -> str:
    """Return the card of a model.

    Args:
      counts: how many parameters each part has, and where there is a second number, how many of them were trained.
      adapter: the folder holds what was trained alone, and is merged before others than CaMML can load it.
      story: what happened to this model.  appendix: what follows everything else.
      tags: others than the usual ones.
    """
    columns = ("part", "parameters", "trained")[: 1 + max((len(row) for row in counts.values()), default=1)]
    table = "".join(f"| {part} | {' | '.join(f'{number:,}' for number in row)} |\n" for part, row in counts.items())
    perceivers = (
        f"The context perceiver reads any number of samples (texts with or without a picture) and gives "
        f"{config.context_tokens} context tokens of width {config.hidden_size}, which stand in the prompt. It has "
        f"{config.perceiver_layers} layers of width {config.perceiver_hidden_size}, "
        f"{2 * config.perceiver_queries} learned queries and {config.perceiver_heads} heads; of a sample's text it "
        f"reads {config.sample_max_length:,} tokens.\n"
    )
    sections = [
        f"# {heading}\n\n{_based(config)} Without samples it answers as that model does.\n",
        story,
        f"## What was added\n\n{perceivers}\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n{table}",
        _use(adapter),
        LICENCE,
        appendix,
    ]
    return _front_matter(config.base_models or (), tags) + "\n".join(section for section in sections if section)


def of_processor(processor: Any) -> str:
    """Return the card of a processor that is published by itself."""
    inner = type(processor.processor).__name__
    about = (
        f"# CaMML processor\n\nA `{inner}` that also writes {processor.context_tokens} placeholders for the samples of "
        "a question. It belongs to the CaMML model of the same folder.\n"
    )
    return _front_matter((), ()) + "\n".join([about, _use(adapter=False), LICENCE])


LICENCE = (
    "## Licence\n\nTo be filled in by the author (`license` above, and here). The licences of the base model and of "
    "the training data hold for this model too.\n"
)


def _front_matter(base_models: Sequence[str], tags: Sequence[str]) -> str:
    """Return what the hub reads; a base model that is no name on it is left to the text."""
    named = [name for name in base_models if name.count("/") == 1]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag=PIPELINE,
        tags=list(dict.fromkeys([*TAGS, *tags])),
        base_model=named or None,
    )
    return f"---\n{data.to_yaml()}\n# license: for the author to fill in\n---\n\n"


def _based(config: CamMLConfig) -> str:
    kind = config.vlm_config.model_type
    names = " and ".join(f"`{name}`" for name in config.base_models or ())
    if kind == "llava_parts":
        return (
            f"Base model: a language model and a vision tower{f', {names}' if names else ''}, with CaMML's perceivers."
        )
    return f"Base model: {names + ', ' if names else ''}a `{kind}` model, with CaMML's perceivers."


def _use(adapter: bool) -> str:
    name = "THIS_FOLDER"
    auto = (
        "import camml  # lets transformers know the model\n"
        "from transformers import AutoModelForImageTextToText, AutoProcessor\n\n"
        f'model = AutoModelForImageTextToText.from_pretrained("{"MERGED" if adapter else name}")\n'
        f'processor = AutoProcessor.from_pretrained("{"MERGED" if adapter else name}")\n'
    )
    first = f"after `camml merge {name} MERGED` " if adapter else ""
    return (
        "## Use\n\n```python\nimport camml\nfrom camml.types import Sample\n\n"
        f'model, processor = camml.load_model("{name}")  # a folder, or its name on the model hub\n'
        'samples = [Sample("1", "The red pump takes gasket B-7.")]\n'
        'inputs = processor.prepare(["Which gasket?"], ["photo.jpg"], [samples])\n'
        "tokens = model.generate(**inputs, max_new_tokens=32)[:, inputs['input_ids'].shape[1] :]\n"
        f"print(processor.batch_decode(tokens))\n```\n\nOr {first}with transformers' own classes:\n\n"
        f"```python\n{auto}```\n"
    )


def count(model: Any) -> dict[str, tuple[int]]:
    """Return how many parameters each part of a CaMML model has."""
    perceiver = sum(map(number_of, model.context_perceiver.parameters()))
    language = sum(map(number_of, model.language_part.parameters()))
    rest = sum(map(number_of, model.parameters())) - perceiver - language
    return {"context_perceiver": (perceiver,), "language_model": (language,), "everything else": (rest,)}


def number_of(parameter: nn.Parameter) -> int:
    """Return how many numbers a parameter has: a quantised one packs several into one, a sharded one shows none."""
    shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
    whole = int(getattr(parameter, "ds_numel", 0) or parameter.numel())
    return whole if shape is None else int(torch.Size(shape).numel())


def names_of(vlm: Any) -> list[str] | None:
    """Return what the weights of a vision-language model are called; None where nothing says so."""
    parts = (vlm.language_model, vlm.vision_tower) if vlm.config.model_type == "llava_parts" else (vlm,)
    folders = [part.config.name_or_path for part in parts]
    return [base_name(folder) for folder in folders if folder and folder != "None"] or None


def base_name(folder: str) -> str:
    """Return what a base model is called: its name on the hub as far as its folder says it, never a path."""
    path = Path(folder)
    for part in path.parts:  # of the hub's cache
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/", 1)
    if path.name in weights.names() and path == weights.place(path.name):
        return str(weights.source(path.name).HUB)
    return path.name if path.is_dir() or path.is_absolute() else folder


def push(
    saved: Any,
    repo_id: str,
    *,
    commit_message: str | None = None,
    commit_description: str | None = None,
    private: bool | None = None,
    token: bool | str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    **options: Any,
) -> Any:
    """Upload a model or a processor with its card to the model hub, where a card that somebody wrote is kept.

    Args:
      saved: what has a `save_pretrained`, which is called with `options`.
    """
    hub = HfApi(token=token)
    name = hub.create_repo(repo_id, private=private, exist_ok=True).repo_id
    with TemporaryDirectory() as folder:
        if hub.file_exists(name, CARD, revision=revision):
            shutil.copy(hub.hf_hub_download(name, CARD, revision=revision), Path(folder) / CARD)
        saved.save_pretrained(folder, **options)
        return hub.upload_folder(
            repo_id=name,
            folder_path=folder,
            commit_message=commit_message or f"Upload {type(saved).__name__}",
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
        )
