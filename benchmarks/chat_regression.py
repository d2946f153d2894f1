"""Regression of plain chat: what a trained model says without image and context, beside its language model before.

    python benchmarks/chat_regression.py --model models/camml-mini

The prompts are those of configs/replay/held_out.txt, which are in no training data; answers are greedy. Besides the
texts it gives the share of tokens on which both agree when each continues the base model's answer, and how long answers
are. Prints Markdown and writes JSON.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from camml import answering
from camml.answering import Decoding
from camml.types import Query

ROOT = Path(__file__).parents[1]


def answers(answerer: Any, prompts: list[str], most: int) -> list[str]:
    """Greedy answers without image or context."""
    return [
        prediction.text
        for prediction in answerer.answer([Query(p) for p in prompts], [()] * len(prompts), Decoding(most))
    ]


def agreement(base: Any, trained: Any, tokenizer: Any, prompts: list[str], said: list[str]) -> float:
    """The share of places in the base model's answers where both models think alike of the next token."""
    alike = places = 0
    for prompt, answer in zip(prompts, said, strict=True):
        chat = [{"role": "user", "content": prompt}]
        start = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        asked = len(tokenizer(start, add_special_tokens=False)["input_ids"])
        ids = tokenizer(start + answer, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            first, second = (model(input_ids=ids).logits[0, asked - 1 : -1].argmax(-1) for model in (base, trained))
        alike, places = alike + int((first == second).sum()), places + len(first)
    return alike / places


def main() -> None:
    """Ask both, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "camml-mini", help="(%(default)s)")
    parser.add_argument("--base", default="smollm2-135m-instruct", help="(%(default)s)")
    parser.add_argument("--max-new-tokens", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/chat_regression.json"))
    args = parser.parse_args()
    prompts = (ROOT / "configs" / "replay" / "held_out.txt").read_text("utf-8").splitlines()
    from camml import weights

    before: Any = answering.load("in_prompt", weights.folder(args.base), device="cpu", dtype="float32")
    after: Any = answering.load("perceiver", args.model, device="cpu", dtype="float32")
    first, second = (answers(model, prompts, args.max_new_tokens) for model in (before, after))
    share = agreement(before.model, after.model.vlm.language_model, before.tokenizer, prompts, first)
    for prompt, old, new in zip(prompts, first, second, strict=True):
        print(f"**{prompt}**\n\n- before: {old}\n- after: {new}\n")
    lengths = [sum(len(text.split()) for text in texts) / len(texts) for texts in (first, second)]
    print(f"next tokens alike: {share:.0%}; words an answer: {lengths[0]:.0f} before, {lengths[1]:.0f} after")
    document = {
        "model": args.model.name,
        "base": args.base,
        "next_tokens_alike": share,
        "words": dict(zip(("before", "after"), lengths, strict=True)),
        "answers": [
            {"prompt": prompt, "before": old, "after": new}
            for prompt, old, new in zip(prompts, first, second, strict=True)
        ],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
