"""Tiny random weights in the layouts in which people have Vicuna, CLIP, LLaVA's projectors, BERT and ImageBind."""

import io
import json
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from tests.encoders.tiny_encoders import imagebind_state

WIDTH, SEEN, PERCEIVER = 24, 16, 24
"""Of the language model, of the tower, and of BERT."""

TEXTS = [
    "A chat between a curious user and an artificial intelligence assistant. USER: ASSISTANT:",
    "This is the useful context information for this question: which contains previous question answering examples",
    "Context: N/A Options: (A) red (B) green LECTURE: SOLUTION: ANSWER: The answer is A.",
]


def write_parts(checkpoints: Path) -> None:
    """Everything below `checkpoints/`, by the names of the paper's README, and BERT."""
    for version, image, projector in (
        ("v1.3", "clip-vit-large-patch14", "llava-pretrain-vicuna-7b-v1.3"),
        ("v1.5", "clip-vit-large-patch14-336", "llava-v1.5-mlp2x-336px-pretrain-vicuna-7b-v1.5"),
    ):
        write_vicuna(checkpoints / f"vicuna-7b-{version}")
        write_clip(checkpoints / image)
        write_projector(checkpoints / projector / "mm_projector.bin", layers=1 if version == "v1.3" else 2)
    write_bert(checkpoints / "bert-base-uncased")


def write_vicuna(folder: Path) -> None:
    """A Llama as transformers 4.31 wrote it: pickles with an index, SentencePiece alone, odd generation settings."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        vocab_size=_write_sentencepiece(folder), max_position_embeddings=2048,
    )  # fmt: skip
    tensors = {name: tensor.half() for name, tensor in LlamaForCausalLM(config).state_dict().items()}
    _write_shards(folder, tensors)
    old = {
        "_name_or_path": "vicuna-7b", "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
        "hidden_act": "silu", "hidden_size": WIDTH, "initializer_range": 0.02, "intermediate_size": 48,
        "max_position_embeddings": 2048, "model_type": "llama", "num_attention_heads": 4, "num_hidden_layers": 2,
        "num_key_value_heads": 4, "pad_token_id": 0, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None,
        "tie_word_embeddings": False, "torch_dtype": "float16", "transformers_version": "4.31.0", "use_cache": True,
        "vocab_size": config.vocab_size,
    }  # fmt: skip
    _write_json(folder / "config.json", old)
    sampling = {"temperature": 0.9, "top_p": 0.6}  # without do_sample, as in the published folder
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "max_length": 4096}
    _write_json(folder / "generation_config.json", {"_from_model_config": True, **ids, **sampling})


def write_clip(folder: Path) -> None:
    """The whole of CLIP, its text half too, with a preparation as an older transformers wrote it."""
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    sizes = {"num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    eyes = CLIPVisionConfig(hidden_size=SEEN, image_size=28, patch_size=7, projection_dim=8, **sizes)
    words = CLIPTextConfig(hidden_size=8, vocab_size=50, max_position_embeddings=77, projection_dim=8, **sizes)
    model = CLIPModel(CLIPConfig(text_config=words.to_dict(), vision_config=eyes.to_dict(), projection_dim=8))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    model.config.architectures = ["CLIPModel"]
    model.config.save_pretrained(folder)
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    old = {
        "crop_size": 28, "do_center_crop": True, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": mean, "image_std": std, "resample": 3,
        "size": 28,
    }  # fmt: skip
    _write_json(folder / "preprocessor_config.json", old)


def write_projector(file: Path, layers: int) -> None:
    """LLaVA's `mm_projector.bin`: float16, one matrix or two with GELU between."""
    file.parent.mkdir(parents=True)
    torch.manual_seed(2)
    tensors: dict[str, torch.Tensor] = {}
    for number in range(layers):
        name = "model.mm_projector" + (f".{2 * number}" if layers > 1 else "")
        tensors[f"{name}.weight"] = torch.randn(WIDTH, SEEN if number == 0 else WIDTH).half()
        tensors[f"{name}.bias"] = torch.zeros(WIDTH).half()
    torch.save(tensors, file)


def write_bert(folder: Path) -> None:
    """BERT with the head of its training, in a pickle."""
    folder.mkdir(parents=True)
    torch.manual_seed(3)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30}
    model = BertForMaskedLM(BertConfig(hidden_size=PERCEIVER, **sizes))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    model.config.architectures = ["BertForMaskedLM"]
    model.config.save_pretrained(folder)


def write_imagebind(file: Path) -> None:
    """ImageBind's state dict, of a width that its 16 heads divide."""
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(imagebind_state(text_width=16), file)


def _write_shards(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    names = list(tensors)
    index: dict[str, str] = {}
    for number, some in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: tensors[name] for name in some}, folder / file)
        index |= dict.fromkeys(some, file)
    _write_json(folder / "pytorch_model.bin.index.json", {"metadata": {"total_size": 1}, "weight_map": index})


def _write_sentencepiece(folder: Path) -> int:
    """Write `tokenizer.model` and what stands beside it; how many words it has."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20), model_writer=model, vocab_size=360, model_type="bpe", byte_fallback=True,
        character_coverage=1.0, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    shape = {"__type": "AddedToken", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    marks = {f"{name}_token": {**shape, "content": text} for name, text in (("bos", "<s>"), ("eos", "</s>"))}
    marks["unk_token"] = {**shape, "content": "<unk>"}
    rest = {"add_bos_token": True, "add_eos_token": False, "legacy": False, "model_max_length": 2048, "pad_token": None,
            "padding_side": "right", "sp_model_kwargs": {}, "tokenizer_class": "LlamaTokenizer"}  # fmt: skip
    _write_json(folder / "tokenizer_config.json", {**marks, **rest})
    plain = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>"}
    _write_json(folder / "special_tokens_map.json", plain)
    return int(sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).vocab_size())


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=2))
