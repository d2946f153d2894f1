"""The baseline of FactPix after fine-tuning: the same language model, trained to answer with the texts in its prompt.

    python benchmarks/in_prompt_baseline.py rows data/factpix/train_mixed.json data/factpix/neighbors rows.json
    camml train configs/mini.yaml --data_path rows.json --neighbors None --icl_num 0 --lora_learning_rate 1e-3 \
        --output_dir checkpoints/in_prompt
    python benchmarks/in_prompt_baseline.py model checkpoints/in_prompt models/in_prompt

The recipe and the rows are those of `mini`. Before the first question of every other row stand one to three whole
texts, before that of the rest the words that `mini` reads: of three texts the first `--context-tokens` tokens. Rows
with an answer that the texts so given do not hold are left out, as a model would learn from them to invent.
`benchmarks/budgets.py` and `benchmarks/factpix.py --tuned models/in_prompt` measure it.
"""

import argparse
import json
import tempfile
from pathlib import Path
from random import Random

from transformers import AutoTokenizer

from camml import prompts, weights
from camml.cli import main as camml
from camml.data import llava_json
from camml.durable import write_file
from camml.features.passages import Budget, cut
from camml.neighbors import NeighborTable
from camml.reading.mixing import UNTOLD

MOST = 3


def rows(data: Path, neighbors: Path, out: Path, wording: str, limit: int, tokenizer_of: str) -> None:
    """Write the conversations of `data` without images, the texts of their neighbors in the first question."""
    table = NeighborTable.open(neighbors)
    tokenizer = AutoTokenizer.from_pretrained(weights.folder(tokenizer_of))
    budget = Budget(limit, lambda text: len(tokenizer.encode(text)))
    written, untold = [], 0
    for number, conversation in enumerate(llava_json.read(data)):
        if number % 2:
            texts = [neighbor.text for neighbor in cut(table.context(conversation.id, MOST), budget)]
        else:
            shots = Random(f"42 0 {number}").randint(1, MOST)
            texts = [neighbor.text for neighbor in table.context(conversation.id, shots)]
        told = "\n".join(texts).casefold()
        if any(turn.answer not in UNTOLD and turn.answer.casefold() not in told for turn in conversation.turns):
            untold += 1
            continue
        turns = []
        for place, turn in enumerate(conversation.turns):
            text = prompts.paste(turn.question, texts, wording) if texts and not place else turn.question
            turns += [{"from": "human", "value": text}, {"from": "gpt", "value": turn.answer}]
        written.append({"id": conversation.id, "conversations": turns})
    write_file(out, json.dumps(written, ensure_ascii=False, indent=0).encode())
    print(f"{len(written)} rows in {out}; {untold} left out, as their texts do not tell an answer")


def model(run: Path, out: Path) -> None:
    """Write the language model of a finished run as a folder of its own."""
    from camml.model.loading import load_model

    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder) / "merged"
        if code := camml(["merge", str(run), str(merged)]):
            raise SystemExit(code)
        whole, processor = load_model(merged)
        whole.vlm.language_model.save_pretrained(out)
        processor.tokenizer.save_pretrained(out)
    print(out)


def main() -> None:
    """Write rows, or the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    first = verbs.add_parser("rows")
    for name in ("data", "neighbors", "out"):
        first.add_argument(name, type=Path)
    first.add_argument("--wording", default="brief", choices=list(prompts.PASTES))
    first.add_argument(
        "--context-tokens", type=int, default=72, help="tokens of all texts of a row that are kept (%(default)s)"
    )
    first.add_argument("--tokenizer", default="smollm2-135m-instruct", help="that counts them (%(default)s)")
    second = verbs.add_parser("model")
    for name in ("run", "out"):
        second.add_argument(name, type=Path)
    args = parser.parse_args()
    if args.verb == "rows":
        rows(args.data, args.neighbors, args.out, args.wording, args.context_tokens, args.tokenizer)
    else:
        model(args.run, args.out)


if __name__ == "__main__":
    main()
