"""Chat templates of the shapes that models have: answers are told apart in each, and asking goes as training did."""

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import CLIPImageProcessorPil, PreTrainedTokenizerFast

from camml.data.examples import IGNORED, build, check_masks, trained
from camml.data.llava_json import Conversation
from camml.errors import OptionError, SampleError
from camml.model import CamMLProcessor
from camml.model.parts import processor_of_parts
from camml.prompts import Turn
from tests import tiny

THINKING = (
    "{%- set asked = namespace(last=0) -%}"
    "{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set asked.last = loop.index0 -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{%- if m.role == 'assistant' -%}{%- set parts = m.content.split('</think>') -%}"
    "{%- if loop.index0 > asked.last -%}{%- set thought = parts[0].split('<think>')[-1].strip() -%}"
    "{{ '<think>\\n' + (thought if parts | length > 1 else '') + '\\n</think>\\n\\n' }}{%- endif -%}"
    "{{ parts[-1].lstrip() }}{%- else -%}{{ m.content }}{%- endif -%}{{ '<|im_end|>\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and not enable_thinking -%}{{ '<think>\\n\\n</think>\\n\\n' }}{%- endif -%}"
    "{%- endif -%}"
)
SHAPES = {
    "thinking": (THINKING, "<|im_end|>"),
    "end of text behind": (
        "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}",
        "<|end|>",
    ),
    "no system": (
        "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}{{ '<start_of_turn>' + m.role.replace('assistant', 'model') + '\\n' + m.content | trim"
        " + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
        "<end_of_turn>",
    ),
    "plain marks": (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}"
        "{% else %}{{ '[INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}",
        "</s>",
    ),
    "nothing behind": (
        "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
        None,
    ),
}
TALK = (
    Turn("which colour is it", "a red square"),
    Turn("and where", "on a white\nfield"),
    Turn("so", "Paris 日本 🚀!"),
)


def processor(shape: str, **options: object) -> CamMLProcessor:
    """A model of parts whose tokenizer has the special tokens of all shapes."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "<|user|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    core.train_from_iterator(tiny.WORDS, trainer)
    # of some models marks swallow the line break behind them, and those around thoughts are no special tokens
    core.add_special_tokens([AddedToken(mark, rstrip=True) for mark in ("<|end|>", "<|assistant|>", "<|system|>")])
    core.add_tokens(["<think>", "</think>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = SHAPES[shape][0]
    images = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    return processor_of_parts(tiny.config(), images, tokenizer, **{"prompt_style": "chat", **options})


@pytest.mark.parametrize("style", ["chat", "bare"])
@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_answers_and_what_ends_them_are_learned(shape: str, turns: int, style: str, tmp_path) -> None:
    with_style, samples = processor(shape, prompt_style=style), tiny.samples(tmp_path)
    talk = Conversation("talk", TALK[:turns], samples[0].image)
    example = build(talk, samples[:2], with_style, 2048)
    check_masks(example, talk, with_style)
    said = [with_style.decode(stretch, skip_special_tokens=False) for stretch in trained(example)]
    end = SHAPES[shape][1]
    ends = [end or "<|user|>"] * (turns - 1) + [end or "</s>"]
    assert [text.strip() for text in said] == [t.answer + e for t, e in zip(talk.turns, ends, strict=True)]
    asked = with_style.prepare([[*TALK[: turns - 1], Turn(TALK[turns - 1].question)]], [talk.image], [samples[:2]])
    labels = example.labels
    last = max(n for n in range(1, len(labels)) if labels[n - 1] == IGNORED and labels[n] != IGNORED)
    assert example.input_ids[:last] == asked["input_ids"][0].tolist()


@pytest.mark.parametrize("thinking", [False, True])
def test_thoughts_are_learned_where_they_are_data_or_asked_for(thinking: bool) -> None:
    reader = processor("thinking", thinking=thinking)
    asked = reader.prepare(["which"])["input_ids"][0].tolist()
    for answer, learned in (
        ("red", "<think>\n\n</think>\n\nred<|im_end|>" if thinking else "red<|im_end|>"),
        ("<think>white or red</think>red", "<think>\nwhite or red\n</think>\n\nred<|im_end|>"),
    ):
        talk = Conversation("talk", (Turn("what", "<think>of the field</think>white"), Turn("which", answer)))
        example = build(talk, [], reader, 2048)
        check_masks(example, talk, reader)
        said = [reader.decode(stretch, skip_special_tokens=False) for stretch in trained(example)]
        assert [text.strip() for text in said] == ["white<|im_end|>", learned]  # older thoughts are left out
    alone = build(Conversation("one", (Turn("which", "red"),)), [], reader, 2048)
    first = next(place for place, label in enumerate(alone.labels) if label != IGNORED)
    assert alone.input_ids[:first] == asked


def test_a_question_is_never_learned_where_only_the_last_answer_has_an_end() -> None:
    reader = processor("plain marks")
    reader.processor.chat_template = (
        "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}{{ eos_token }}"
    )
    with pytest.raises(OptionError, match=r"no special token of this tokenizer ends an answer \('a red square"):
        build(Conversation("talk", TALK), [], reader, 2048)
    build(Conversation("one", TALK[:1]), [], reader, 2048)


def test_an_answer_that_the_template_changes_is_an_error_about_the_sample() -> None:
    reader = processor("plain marks")
    reader.processor.chat_template = SHAPES["plain marks"][0].replace("m.content + eos", "m.content | upper + eos")
    with pytest.raises(SampleError, match=r"sample 'talk': the chat template changes what answer 1 says"):
        build(Conversation("talk", TALK), [], reader, 2048)


@pytest.mark.parametrize("shape", SHAPES)
def test_control_tokens_in_the_data_are_letters(shape: str) -> None:
    """A question cannot end its turn, and an answer neither, so that both are learned as they are asked."""
    reader = processor(shape)
    talk = Conversation(
        "talk", (Turn("what is <|im_end|>", "it ends </s> a turn"), Turn("and", "</think> <|end|> <|user|> no"))
    )
    example = build(talk, [], reader, 2048)
    check_masks(example, talk, reader)
    assert len(trained(example)) == 2
    asked = reader.prepare([[talk.turns[0], Turn("and")]])["input_ids"][0].tolist()
    assert example.input_ids[: len(asked)] == asked
