"""Context tokens that hold more than one word each, beside copied words: is a ratio of 2 or 4 worth it?

    camml bench-data reading --out data/reading31 --rows 1600 --seed 31 --room 70
    camml bench-data reading --out data/reading32 --rows 500 --seed 32 --room 70
    python benchmarks/pooled_context.py data/reading31 data/reading32

For each design anew a language model learns, by LoRA in all linear layers, to answer from the context tokens of a text:
its word embeddings, the untrained model's states behind the first layers averaged over 2 or 4 words, or its first
words with the rest averaged; rows, order and settings are the same. What learned from words is also asked with texts
cut to as many tokens. Averages get the norm of a word embedding. States are of the text alone behind a start token,
which takes the huge state of a first place. Right is what greedy decoding says to the last token.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from itertools import chain, count, islice
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

import torch
from _measure import circumstances
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup

from camml import weights
from camml.data import llava_json
from camml.neighbors import NeighborTable

RANK, ALPHA, RATE, WARM_UP, BATCH, IGNORED, SEED = 16, 32, 1e-3, 0.05, 4, -100, 0


class Row(NamedTuple):
    """A text, questions about it with their answers, and the forms of the questions."""

    text: str
    turns: list[tuple[str, str]]
    forms: list[str]


class Encoded(NamedTuple):
    """A text as the untrained model reads it, [words, width] each."""

    words: Tensor
    states: Tensor


def pooled(states: Tensor, width: int, norm: float | None = None) -> Tensor:
    """Return the means of each `width` states after another, the last of what is left; of this norm if it is given."""
    means = torch.stack([part.mean(0) for part in states.split(width)]) if len(states) else states
    return means if norm is None else nn.functional.normalize(means.float(), dim=-1).mul(norm).to(means.dtype)


Design = Callable[[Encoded, float], Tensor]  # the number is the norm of a word embedding
DESIGNS: dict[str, Design] = {
    "words": lambda text, norm: text.words,
    "pooled by 2": lambda text, norm: pooled(text.states, 2, norm),
    "pooled by 4": lambda text, norm: pooled(text.states, 4, norm),
    "28 words, rest pooled by 4": lambda text, norm: torch.cat([text.words[:28], pooled(text.states[28:], 4, norm)]),
}


def cut_like(other: Design) -> Design:
    """Return the design of the first words, as many as the other one has tokens."""
    return lambda text, norm: text.words[: len(other(text, norm))]


class Lora(nn.Module):
    """A frozen linear layer and what is learned beside it."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.zeros(RANK, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, RANK))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output with the learned part added."""
        return self.base(x) + x @ self.down.to(x.dtype).T @ self.up.to(x.dtype).T * (ALPHA / RANK)


class Reader:
    """A language model that answers from context tokens."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
        self.embed = self.model.requires_grad_(False).get_input_embeddings()
        self.start, self.end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        for module in list(self.model.model.modules()):
            for name, layer in list(module.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(module, name, Lora(layer))

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, no special ones among them."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    @torch.no_grad()
    def encode(self, texts: Sequence[str], layers: int, batch: int = 16) -> list[Encoded]:
        """Return word embeddings and the states behind the first layers, before training, of each text alone."""
        inner, config, caught = self.model.model, self.model.config, []
        hook = inner.layers[layers - 1].register_forward_hook(lambda _, __, out: caught.append(out))
        whole, config.num_hidden_layers = config.num_hidden_layers, layers
        encoded = []
        for first in range(0, len(texts), batch):
            tokens = [[self.start, *self.tokens(text)] for text in texts[first : first + batch]]
            lines = [self.embed(torch.tensor(line)) for line in tokens]
            inner(**padded(lines), use_cache=False)
            read_texts = zip(lines, caught.pop(), strict=True)
            encoded += [Encoded(line[1:], states[1 : len(line)].clone()) for line, states in read_texts]
        config.num_hidden_layers = whole
        hook.remove()
        return encoded

    def restart(self) -> list[nn.Parameter]:
        """Forget what was learned; return what is to be trained."""
        torch.manual_seed(SEED)
        for lora in self.model.modules():
            if isinstance(lora, Lora):
                nn.init.kaiming_uniform_(lora.down, a=math.sqrt(5))
                nn.init.zeros_(lora.up)
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def answers(self, contexts: Sequence[Tensor], rows: Sequence[Row]) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits at the tokens of all answers, these tokens, and the number of the row of each."""
        lines, labels = [], []
        for context, row in zip(contexts, rows, strict=True):
            tokens, said = [], [IGNORED] * (1 + len(context))
            for question, answer in row.turns:
                asked, told = self.tokens(f"\n{question}\n"), [*self.tokens(answer), self.end]
                tokens, said = tokens + asked + told, said + [IGNORED] * len(asked) + told
            start, rest = self.embed(torch.tensor([self.start, *tokens])).split([1, len(tokens)])
            lines.append(torch.cat([start, context, rest]))
            labels.append(torch.tensor(said))
        states = self.model.model(**padded(lines), use_cache=False).last_hidden_state[:, :-1]
        wanted = nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED)[:, 1:]
        places = wanted != IGNORED
        return self.model.lm_head(states[places]).float(), wanted[places], places.nonzero()[:, 0]


def padded(lines: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return lines of embeddings as one batch with its mask, padded behind their ends."""
    mask = nn.utils.rnn.pad_sequence([torch.ones(len(line), dtype=torch.long) for line in lines], batch_first=True)
    return {"inputs_embeds": nn.utils.rnn.pad_sequence(list(lines), batch_first=True), "attention_mask": mask}


def train(reader: Reader, contexts: Sequence[Tensor], rows: Sequence[Row], steps: int) -> list[float]:
    """Train on all answers of the rows from the start; return the loss of each step."""
    optimizer = torch.optim.AdamW(reader.restart(), lr=RATE, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(WARM_UP * steps), steps)
    chance, losses, pairs = Random(SEED), [], list(zip(contexts, rows, strict=True))
    order = chain.from_iterable(chance.sample(pairs, len(pairs)) for _ in count())
    for step in range(steps):
        logits, wanted, _ = reader.answers(*zip(*islice(order, BATCH), strict=True))
        (loss := nn.functional.cross_entropy(logits, wanted)).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        print(f"step {step}: {losses[-1]:.3f}", end="\r", flush=True)
    return losses


@torch.no_grad()
def score(reader: Reader, contexts: Sequence[Tensor], rows: Sequence[Row], batch: int = 20) -> dict[str, Any]:
    """Ask all questions; return the right ones in percent with a 95 % interval, and those of values to be copied."""
    right = [True] * len(rows)
    for first in range(0, len(rows), batch):
        logits, wanted, numbers = reader.answers(contexts[first : first + batch], rows[first : first + batch])
        for number in numbers[logits.argmax(-1) != wanted].tolist():
            right[first + number] = False
    copied = [hit for hit, row in zip(right, rows, strict=True) if row.forms[0] in ("open", "called")]
    return {"tokens": round(fmean(map(len, contexts)), 1), "all": share(right), "copied": share(copied)}


def share(hits: Sequence[bool]) -> dict[str, float]:
    """Return hits in percent, with Wilson's interval at 95 %."""
    number, z = max(1, len(hits)), 1.96
    mean = sum(hits) / number
    middle, half = mean + z * z / (2 * number), z * math.sqrt(mean * (1 - mean) / number + (z / (2 * number)) ** 2)
    ends = (end / (1 + z * z / number) for end in (middle - half, middle + half))
    percent, low, high = (round(100 * max(0.0, part), 1) for part in (mean, *ends))
    return {"percent": percent, "from": low, "to": high, "questions": len(hits)}


def read(folder: Path, length: Callable[[str], int], bounds: Sequence[int]) -> list[Row]:
    """Read the rows of reading data that have one sample, its text of a length within bounds."""
    forms = {one["id"]: one["meta"]["forms"] for one in json.loads((folder / "conversations.json").read_text())}
    neighbors, rows = NeighborTable.open(folder / "neighbors"), []
    for conversation in llava_json.read(folder / "conversations.json"):
        samples = neighbors.context(conversation.id, 2)
        if len(samples) == 1 and bounds[0] <= length(samples[0].text) <= bounds[1]:
            turns = [(turn.question, turn.answer or "") for turn in conversation.turns]
            rows.append(Row(samples[0].text, turns, forms[conversation.id]))
    return rows


def table(document: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    lines = ["| context | steps | tokens | right, % | of values to copy |", "|---|---|---|---|---|"]
    for name, scores in document["designs"].items():
        cells = [name, document["settings"]["steps"], scores["tokens"]]
        cells += [f"{one['percent']} ({one['from']}–{one['to']})" for one in (scores["all"], scores["copied"])]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    """Train and ask each design, and write what came of it after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path, help="folder of reading data")
    parser.add_argument("held", type=Path, help="the same of another seed")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="(%(default)s)")
    parser.add_argument("--layers", type=int, default=4, help="whose states are pooled (%(default)s)")
    parser.add_argument("--steps", type=int, default=100, help=f"of {BATCH} rows (%(default)s)")
    parser.add_argument("--questions", type=int, default=200, help="held ones (%(default)s)")
    parser.add_argument("--bounds", type=int, nargs=2, default=[32, 72], help="tokens of a text (%(default)s)")
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=list(DESIGNS), help="(all)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/pooled_context.json")
    args = parser.parse_args()
    reader = Reader(weights.folder(args.model), torch.bfloat16)
    sets = [read(folder, lambda text: len(reader.tokens(text)), args.bounds) for folder in (args.train, args.held)]
    each = (Row(row.text, [turn], [form]) for row in sets[1] for turn, form in zip(row.turns, row.forms, strict=True))
    rows, held = sets[0][: args.steps * BATCH], list(islice(each, args.questions))
    texts = list(dict.fromkeys(row.text for row in rows + held))
    encoded = dict(zip(texts, reader.encode(texts, args.layers), strict=True))
    norm = torch.cat([one.words for one in encoded.values()]).float().norm(dim=-1).mean().item()
    settings = {"model": args.model, "steps": args.steps, "rows": len(rows), "layers": args.layers, "norm": norm}
    known = json.loads(args.out.read_text()) if args.out.exists() else {}
    designs = known["designs"] if known.get("settings") == settings else {}
    document = circumstances(torch.device("cpu"), torch.bfloat16) | {"settings": settings, "designs": designs}
    for name in [name for name in args.designs if name not in designs]:
        began = time.process_time()
        losses = train(reader, [DESIGNS[name](encoded[row.text], norm) for row in rows], rows, args.steps)
        result = {"loss": fmean(losses[-20:]), "cpu_seconds_a_step": (time.process_time() - began) / args.steps}
        asked = {f"words, cut like {other}": cut_like(made) for other, made in DESIGNS.items() if other != name}
        for label, design in ({name: DESIGNS[name]} | (asked if name == "words" else {})).items():
            designs[label] = score(reader, [design(encoded[row.text], norm) for row in held], held)
        designs[name] |= result
        args.out.write_text(json.dumps(document, indent=1) + "\n")
    print(table(document))


if __name__ == "__main__":
    main()
