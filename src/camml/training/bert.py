"""A start for the perceivers from the blocks of BERT."""

from pathlib import Path

from torch import Tensor

from camml.errors import ModelFolderError
from camml.model import CamMLForConditionalGeneration
from camml.model.folder import check_folder, load_part, read_tensors

BERT_PARTS = {
    "self_attention.query": "attention.self.query",
    "self_attention.key": "attention.self.key",
    "self_attention.value": "attention.self.value",
    "self_attention.output": "attention.output.dense",
    "self_norm": "attention.output.LayerNorm",
    "expand": "intermediate.dense",
    "contract": "output.dense",
    "feed_norm": "output.LayerNorm",
}


def start_from_bert(model: CamMLForConditionalGeneration, folder: Path) -> None:
    """Let the perceivers of a new model start with BERT's first blocks.

    Raises:
      ModelFolderError: `folder` is no BERT folder, or one of other sizes.
    """
    load_part(model, ("context_perceiver.",), bert_blocks(model, folder), folder, partial=True)


def bert_blocks(model: CamMLForConditionalGeneration, folder: Path) -> dict[str, Tensor]:
    """Return BERT's first blocks by the names of our three perceivers; BERT has no cross-attention to give.

    Source: BLIP-2 (Li et al., 2023), section 3.1, starts its Q-Former so, and CaMML follows it.
    """
    check_folder(folder)
    bert = {name.removeprefix("bert."): tensor for name, tensor in read_tensors(folder)}
    names = {f"layers.{n}.{ours}": f"encoder.layer.{n}.{theirs}" for n in range(model.config.perceiver_layers)
             for ours, theirs in BERT_PARTS.items()}  # fmt: skip
    names["norm"] = "embeddings.LayerNorm"
    tensors = {}
    for ours, theirs in names.items():
        for kind, old in (("weight", "gamma"), ("bias", "beta")):
            tensor = bert.get(f"{theirs}.{kind}", bert.get(f"{theirs}.{old}"))
            if tensor is None:
                raise ModelFolderError(f"{folder} is no BERT folder: it has no {theirs}.{kind}")
            for perceiver in ("vision", "language", "context"):
                tensors[f"context_perceiver.{perceiver}_perceiver.{ours}.{kind}"] = tensor
    return tensors
