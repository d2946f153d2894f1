"""Add replay to training data: answers of the language model before training, so that it does not forget how to chat.

python scripts/replay_rows.py smollm2-135m-instruct data/factpix/conversations.json data/factpix/train_mixed.json

The answers are the model's own, drawn before any training, so nothing new is taught by them. Rows have no image, and
`camml neighbors --allow-none` gives them no context.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from camml import weights
from camml.durable import write_file
from camml.errors import CaMMLError

PROMPTS = Path(__file__).parents[1] / "configs" / "replay" / "prompts.txt"


def draw(model_name: str, prompts: list[str], each: int, most: int, seed: int) -> list[tuple[str, str]]:
    """Prompts with `each` answers at most; those that are not finished after `most` tokens end with a sentence."""
    folder = weights.folder(model_name)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    torch.manual_seed(seed)
    results = []
    for start in range(0, len(prompts), 8):
        batch = prompts[start : start + 8]
        chats = [
            tokenizer.apply_chat_template([{"role": "user", "content": p}], tokenize=False, add_generation_prompt=True)
            for p in batch
        ]
        inputs = tokenizer(chats, return_tensors="pt", padding=True, add_special_tokens=False)
        options = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "num_return_sequences": each}
        rows = model.generate(**inputs, **options, max_new_tokens=most)[:, inputs["input_ids"].shape[1] :]
        for place, row in enumerate(rows):
            answer = tokenizer.decode(row, skip_special_tokens=True).strip()
            if tokenizer.eos_token_id not in row.tolist():
                answer = answer[: max(answer.rfind(stop) for stop in ".!?") + 1]
            if answer:
                results.append((batch[place // each], answer))
        print(f"\r{min(start + 8, len(prompts))} of {len(prompts)} prompts", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def main() -> int:
    """Draw and write; exit code 2 where that cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the language model, a folder or a name")
    parser.add_argument("data", type=Path, help="training data, LLaVA JSON")
    parser.add_argument("out", type=Path, help="file to write: the data, then these rows")
    parser.add_argument("--prompts", type=Path, default=PROMPTS, help="one in a line (configs/replay/prompts.txt)")
    parser.add_argument("--each", type=int, default=2, help="answers to each prompt (%(default)s)")
    parser.add_argument("--max-new-tokens", type=int, default=64, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        data = json.loads(args.data.read_text("utf-8"))
        prompts = [line for line in args.prompts.read_text("utf-8").splitlines() if line.strip()]
        drawn = draw(args.model, prompts, args.each, args.max_new_tokens, args.seed)
    except (OSError, ValueError, CaMMLError) as error:
        print(f"replay_rows: error: {error}", file=sys.stderr)
        return 2
    rows = [
        {
            "id": f"replay/{number}",
            "conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}],
        }
        for number, (prompt, answer) in enumerate(drawn, 1)
    ]
    write_file(args.out, json.dumps([*data, *rows], ensure_ascii=False, indent=0).encode())
    print(f"{len(data)} rows and {len(rows)} of replay in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
