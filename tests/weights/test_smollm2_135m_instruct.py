"""SmolLM2 comes out of its GGUF file as it went in, with its tokenizer."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from camml import weights
from camml.errors import CaMMLError
from camml.weights import smollm2_135m_instruct as source

HEADS, KV_HEADS, WIDTH, LAYERS = 4, 2, 64, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h e", "Ġ w", "l o", "he l", "hel lo", "o r", "Ġw or"]
TOKENS = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"


def permute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows as GGUF orders them: the two halves of each head interleaved."""
    order = [head * (len(weight) // heads) + half * (len(weight) // heads // 2) + place
             for head in range(heads) for place in range(len(weight) // heads // 2) for half in range(2)]  # fmt: skip
    return weight[order]


def export(model: LlamaForCausalLM, path: Path) -> None:
    """Write `model` with a small tokenizer as a GGUF file."""
    path.parent.mkdir(parents=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in TOKENS])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    writer.add_tensor("token_embd.weight", state["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", state["model.norm.weight"])
    for index in range(LAYERS):
        for theirs, ours in source.LAYERS.items():
            array = state[f"model.layers.{index}.{ours}.weight"]
            heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(theirs)
            writer.add_tensor(f"blk.{index}.{theirs}.weight", permute(array, heads) if heads else array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[LlamaForCausalLM, Path]:
    """A small model, and the folder that was made from its GGUF file."""
    room = tmp_path_factory.mktemp("smollm2")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    export(model, room / "wheel" / source.GGUF)
    (room / "out").mkdir()
    source.convert(room / "wheel", room / "out")
    return model, room / "out"


def test_the_model_computes_the_same(pair: tuple[LlamaForCausalLM, Path]) -> None:
    model, folder = pair
    weights.check(folder)
    ids = torch.tensor([[5, 9, 40, 7, 80, 3, 11]])
    with torch.no_grad():
        expected, result = (each(ids).logits for each in (model, AutoModelForCausalLM.from_pretrained(folder)))
    torch.testing.assert_close(result, expected)


def test_the_tokenizer_merges_splits_digits_and_keeps_marks(pair: tuple[LlamaForCausalLM, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pair[1])
    assert tokenizer.tokenize("hello wor") == ["hello", "Ġwor"]
    assert tokenizer.tokenize("2024") == ["2", "0", "2", "4"]
    assert tokenizer.tokenize("he<|im_end|>") == ["he", "<|im_end|>"]
    text = "naïve 你好\n 12"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "he"}], tokenize=False)
    assert chat == "<|im_start|>user\nhe<|im_end|>"


def test_a_tensor_of_another_kind_of_model_is_an_error() -> None:
    with pytest.raises((CaMMLError, KeyError, ValueError), match="router"):
        source._rename("blk.0.router.weight")


@pytest.mark.long
@pytest.mark.weights
def test_the_real_model_knows_a_capital() -> None:
    folder = weights.folder("smollm2-135m-instruct")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.decode(output, skip_special_tokens=True) == "The capital of France is Paris."
