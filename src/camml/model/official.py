"""Checkpoints in the official CaMML layout: recognised, read, and turned into an ordinary model folder.

The layout is a Hugging Face folder with `model_type: "CaMML"`: Llama's own keys, `model.mm_projector`,
`model.vision_tower.vision_tower` (CLIP), `query_tokens_{vision,text}`, three perceivers under BERT's names and four
linear maps. The perceivers' `cls` heads and position buffers are dead weight and are left out.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, normalizers
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, CLIPVisionConfig, CLIPVisionModel, LlamaConfig
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from camml.errors import ModelFolderError
from camml.model.card import base_name
from camml.model.config import CamMLConfig
from camml.model.folder import read_config, read_tensors
from camml.model.llava_parts import LlavaPartsConfig
from camml.model.llava_processor import LlavaPartsProcessor

OFFICIAL_MODEL_TYPE = "CaMML"

# our name of a perceiver's part -> the official one
LAYER_PARTS = {
    "self_attention.query": "attention.self.query",
    "self_attention.key": "attention.self.key",
    "self_attention.value": "attention.self.value",
    "self_attention.output": "attention.output.dense",
    "self_norm": "attention.output.LayerNorm",
    "cross_attention.query": "crossattention.self.query",
    "cross_attention.key": "crossattention.self.key",
    "cross_attention.value": "crossattention.self.value",
    "cross_attention.output": "crossattention.output.dense",
    "cross_norm": "crossattention.output.LayerNorm",
    "expand": "intermediate_query.dense",
    "contract": "output_query.dense",
    "feed_norm": "output_query.LayerNorm",
}
OUTER_PARTS = {
    "context_perceiver.image_in": "image_proj_to_perceiver",
    "context_perceiver.text_in": "text_proj_to_perceiver",
    "context_perceiver.vision_out": "context_proj_vision",
    "context_perceiver.text_out": "context_proj_text",
    "context_perceiver.vision_queries": "query_tokens_vision",
    "context_perceiver.text_queries": "query_tokens_text",
    "vlm.projector": "model.mm_projector",
    "vlm.vision_tower": "model.vision_tower.vision_tower",
    "vlm.language_model.model": "model",  # what is left of it
    "vlm.language_model.lm_head": "lm_head",
}
TOWER = "vlm.vision_tower."
PERCEIVER = re.compile(r"(\w+_perceiver)\.bert\.(?:embeddings\.LayerNorm|encoder\.(layer\.\d+)\.(.+))\.(\w+)")
UNUSED_TENSORS = re.compile(r"\.cls\.|position_ids$|rotary_emb\.inv_freq$")
"""Names of tensors in official folders that the model does not use."""


class OfficialConfig(CamMLConfig):
    """The configuration of an official folder as `AutoConfig` reads it: the result is an ordinary `CamMLConfig`."""

    model_type = OFFICIAL_MODEL_TYPE

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Return our configuration of the folder that `name_or_path` names, as `AutoConfig` calls it."""
        unused = kwargs.pop("return_unused_kwargs", False)
        folder = kwargs.pop("name_or_path", None) or config_dict.get("_name_or_path", "")
        if not is_official(folder):
            raise ModelFolderError(
                f"{str(folder)!r} is not a folder; fetch the official checkpoint, and give its folder"
            )
        config = config_of(Path(str(folder)))
        return (config, {key: value for key, value in kwargs.items() if key != "_from_auto"}) if unused else config


def is_official(folder: Any) -> bool:
    """Return whether `folder` is a folder in the official layout."""
    file = Path(str(folder)) / "config.json"
    return file.is_file() and read_config(file.parent).get("model_type") == OFFICIAL_MODEL_TYPE


def read_ours(folder: Path) -> dict[str, Tensor]:
    """Return all tensors of a folder by our names; those of the tower by older names of CLIP's, behind `TOWER`."""
    return {our_name(name): tensor for name, tensor in read_tensors(folder) if not UNUSED_TENSORS.search(name)}


def our_name(name: str) -> str:
    """Return our name of an official tensor; its own where there is no such part."""
    if match := PERCEIVER.fullmatch(name):
        perceiver, layer, part, kind = match.groups()
        own = {theirs: ours for ours, theirs in LAYER_PARTS.items()}.get(part, part)
        inner = f"{layer.replace('layer', 'layers')}.{own}" if layer else "norm"
        return f"context_perceiver.{perceiver}.{inner}.{kind}"
    for own, theirs in OUTER_PARTS.items():
        if name == theirs or name.startswith(theirs + "."):
            return own + name[len(theirs) :]
    return name


def vision_config(folder: Path, official: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> CLIPVisionConfig:
    """Return the configuration of the tower: from the folder that config.json names, else read off its tensors."""
    named = tower_folder(folder, official)
    if named is not None:
        config = AutoConfig.from_pretrained(named)
        return getattr(config, "vision_config", config)
    if not any(name.startswith(TOWER) for name in tensors):
        raise ModelFolderError(
            f"{folder} holds no vision tower, and its mm_vision_tower "
            f"({official.get('mm_vision_tower')!r}) is not a folder; put the CLIP folder there"
        )
    sizes = {name.removeprefix(f"{TOWER}vision_model."): tensor.shape for name, tensor in tensors.items()}
    width, _, patch, _ = sizes["embeddings.patch_embedding.weight"]
    patches = sizes["embeddings.position_embedding.weight"][0] - 1
    layers = {name.split(".")[2] for name in sizes if name.startswith("encoder.layers.")}
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=sizes["encoder.layers.0.mlp.fc1.weight"][0],
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, width // 64),  # every published CLIP has heads of width 64
        patch_size=patch,
        image_size=patch * round(patches**0.5),
    )


def text_config(official: Mapping[str, Any]) -> LlamaConfig:
    """Return the language model's half of an official configuration."""
    ours = ("mm_", "perceiver_", "tune_mm", "freeze_mm", "image_", "use_mm", "random_shots", "architectures", "dtype")
    values = {key: value for key, value in official.items() if not key.startswith(ours)}
    for key in ("model_type", "torch_dtype", "icl_num", "transformers_version", "_name_or_path"):
        values.pop(key, None)
    return LlamaConfig(**values)


def config_of(folder: Path) -> CamMLConfig:
    """Return our configuration of a folder in the official layout."""
    values = read_config(folder)
    tensors = {} if tower_folder(folder, values) else read_ours(folder)
    return build_config(values, vision_config(folder, values, tensors))


def tower_folder(folder: Path, official: Mapping[str, Any]) -> Path | None:
    """Return the folder of the CLIP tower that config.json names, beside the checkpoint or anywhere; or None."""
    named = official.get("mm_vision_tower") or official.get("vision_tower") or ""
    places = (folder / named, Path(named))
    return next((place for place in places if named and (place / "config.json").is_file()), None)


def processor(folder: Path, config: CamMLConfig) -> LlavaPartsProcessor:
    """Return what prepares text and images for the vision-language model of an official folder."""
    aspect = "pad" if read_config(folder).get("image_aspect_ratio") == "pad" else "keep"
    parts = config.vlm_config
    images = image_processor(folder, parts)
    return LlavaPartsProcessor(images, tokenizer(folder, parts), parts.image_tokens, parts.image_token_id, aspect)


def image_processor(folder: Path, config: LlavaPartsConfig) -> BaseImageProcessor:
    """Return what prepares images for the tower: its own, or CLIP's standard one at its size."""
    named = tower_folder(folder, read_config(folder))
    if named is not None and (named / "preprocessor_config.json").is_file():
        return AutoImageProcessor.from_pretrained(named)
    from transformers import CLIPImageProcessorPil

    side = config.image_size
    return CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def tokenizer(folder: Path, config: LlavaPartsConfig) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a folder in the official layout.

    Whether runs of spaces become one is a setting inside `tokenizer.model` that the conversion to a fast tokenizer
    drops. Published Llama vocabularies keep all spaces; for one that does not, the rule is put back.
    """
    # the configuration is given, as AutoTokenizer does not know the official model type
    reader = AutoTokenizer.from_pretrained(folder, config=config.text_config)
    file = folder / "tokenizer.model"
    if file.is_file():
        from sentencepiece import sentencepiece_model_pb2 as sentencepiece

        model: Any = sentencepiece.ModelProto()  # type: ignore[attr-defined]
        model.ParseFromString(file.read_bytes())
        if model.normalizer_spec.remove_extra_whitespaces:
            reader.backend_tokenizer.normalizer = normalizers.Sequence(
                [normalizers.Replace(Regex("^ +| +$"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
            )
    return reader


def build_config(official: Mapping[str, Any], tower: CLIPVisionConfig) -> CamMLConfig:
    """Return our configuration of an official one; positions are off, as the official perceivers have none."""
    parts = LlavaPartsConfig(
        vision_config=tower,
        text_config=text_config(official),
        vision_feature_layer=official.get("mm_vision_select_layer", -2),
        vision_feature_select="patch" if official.get("mm_vision_select_feature", "patch") == "patch" else "all",
        projector_type=official.get("mm_projector_type", "linear"),
    )
    names = (official.get(key) for key in ("_name_or_path", "mm_vision_tower"))
    return CamMLConfig(
        vlm_config=parts,
        base_models=[base_name(str(name)) for name in names if name] or None,
        perceiver_hidden_size=official.get("perceiver_hidden_size", 768),
        perceiver_queries=official.get("perceiver_querys", 128),
        perceiver_layers=official.get("perceiver_layers", 2),
        perceiver_positions=False,
    )


def config_and_tensors(folder: Path) -> tuple[CamMLConfig, dict[str, Tensor]]:
    """Return our configuration of a folder in the official layout, and all tensors by our names.

    Raises:
      ModelFolderError: a file cannot be read, or there is no vision tower.
    """
    official, tensors = read_config(folder), read_ours(folder)
    config = build_config(official, vision_config(folder, official, tensors))
    if not any(name.startswith(TOWER) for name in tensors):  # frozen in training, so that checkpoints leave it out
        tower = CLIPVisionModel.from_pretrained(tower_folder(folder, official), config=config.vlm_config.vision_config)
        tensors |= {TOWER + name: tensor for name, tensor in tower.state_dict().items()}
    return config, tensors
