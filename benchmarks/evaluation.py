"""Questions a second of a whole task, by `camml eval run`, beside asking one at a time with nothing kept.

    python benchmarks/evaluation.py                       # a tiny model on a CPU, of 7B size on a GPU
    python benchmarks/evaluation.py --size small --questions 60

Weights are random and questions invented: photos, three questions of different length about each, and a datastore of
such photos with texts. Answers have one length. Four ways take turns, each without loading the model:

    one by one   embeds the question's image, retrieves, encodes its samples and answers, and keeps nothing
    batched      `camml eval run`, with nothing kept beside the datastore
    first run    the same, with samples kept beside the datastore as they are met (`camml store cache --lazy`)
    later run    the same, with all of them there

The floor is the operations of the language model on each prompt, at the speed of a large matrix product; what is read
again for each answered token is not in it. Prints a table, and writes JSON, a profile and a plot.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _measure import (
    Spread,
    circumstances,
    matmul_ceiling,
    pick_device,
    profile,
    profile_table,
    ratios,
    spread,
    write,
)
from _shapes import CASES, DINOV2_SMALL, Shape, build, photo, pick_size, random_encoder, text, tokenizer
from transformers import CLIPImageProcessorPil

from camml.answering import Decoding
from camml.answering.perceiver import PerceiverAnswerer
from camml.datastore import Datastore
from camml.devices import DTYPES, choose_dtype
from camml.evaluation.contexts import variants
from camml.evaluation.files import read_lines
from camml.evaluation.run import Options, run
from camml.features.samples import FOLDER
from camml.model import CamMLProcessor
from camml.model.parts import processor_of_parts
from camml.retriever import Retriever
from camml.types import Query, Sample

WAYS = ("one by one", "batched", "first run", "later run")
SHOTS, TOKENS, OF_EACH, ALONE = 3, 8, 3, 60
LONGEST = 40  # words of a question


@dataclass(frozen=True)
class World:
    """Everything that is asked and answered with, in a folder of its own."""

    folder: Path
    model: Any
    processor: CamMLProcessor
    encoder: Any
    batch: int

    @property
    def store(self) -> Path:
        """The datastore."""
        return self.folder / "store"

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The questions."""
        document: list[dict[str, Any]] = json.loads((self.folder / "heldout.json").read_text())
        return document


def world(folder: Path, shape: Shape, model: Any, questions: int, batch: int, side: int) -> World:
    """The model on disk, a datastore and questions about its photos."""
    images = CLIPImageProcessorPil(
        size={"shortest_edge": shape.image}, crop_size={"height": shape.image, "width": shape.image}
    )
    processor = processor_of_parts(model.config, images, tokenizer(), prompt_style=shape.style)
    for part in (model, processor):
        part.save_pretrained(folder / "model")
    encoder = random_encoder(folder / "encoder", DINOV2_SMALL, side=side)
    chance = np.random.default_rng(1)
    photos = [photo(folder / f"{number}.jpg", chance) for number in range(-(-questions // OF_EACH))]
    samples = [Sample(str(number), text(shape.words, chance), file) for number, file in enumerate(photos)]
    Datastore.build(folder / "store", samples, encoder)
    asked = [
        {
            "id": str(number),
            "image": photos[number // OF_EACH].name,
            "conversations": [
                {"from": "human", "value": f"<image>\n{text(int(chance.integers(4, LONGEST)), chance)}"},
                {"from": "gpt", "value": "w1"},
            ],
            "meta": {"topic": "photos", "class": str(number), "field": "name", "kind": "open", "answer": "w1"},
        }
        for number in range(questions)
    ]
    (folder / "heldout.json").write_text(json.dumps(asked))
    return World(folder, model, processor, encoder, batch)


def one_by_one(made: World, asked: list[dict[str, Any]]) -> float:
    """Seconds a question."""
    answerer = PerceiverAnswerer(made.model, made.processor)
    retriever = Retriever(Datastore.open(made.store, made.encoder), made.encoder, "image-image")
    started = time.perf_counter()
    for question in asked:
        query = Query(question["conversations"][0]["value"].removeprefix("<image>\n"), made.folder / question["image"])
        answerer.answer([query], retriever.retrieve([query], SHOTS), Decoding(max_new_tokens=TOKENS))
    return (time.perf_counter() - started) / len(asked)


def whole_task(made: World, out: Path) -> tuple[float, dict[str, Any]]:
    """Seconds a question of `camml eval run`, and what it was."""
    encoder = {"vision": str(made.folder / "encoder/vision"), "text": str(made.folder / "encoder/text")}
    options = Options(
        data=made.folder, out=out, model=str(made.folder / "model"), use="perceiver", store=str(made.store),
        mode="image-image", retrieved=SHOTS, batch_size=made.batch, max_new_tokens=TOKENS, predict_only=True,
        encoder_options={**encoder, "side": made.encoder.side}, keep_duplicates=True,
        dtype=str(made.model.dtype).removeprefix("torch."),
    )  # fmt: skip
    started = time.perf_counter()
    outcome = run(["factpix"], variants(["retrieved"], [SHOTS]), options)[0]
    seconds = outcome.measures["seconds"]
    tokens = [int(record["prompt_tokens"]) for _, record in read_lines(outcome.folder / "log.jsonl")]
    facts = {"with_loading_s": time.perf_counter() - started, **seconds, **padding(tokens, made.batch)}
    return (seconds["retrieve"] or 0) + (seconds["answer"] or 0), facts


def padding(tokens: list[int], batch: int) -> dict[str, float]:
    """The share of padding in batches as they come, and sorted by length in portions of four, as a run does."""
    results = {}
    for name, order in (("padding_unsorted", lambda part: part), ("padding", sorted)):
        portions = [order(tokens[at : at + 4 * batch]) for at in range(0, len(tokens), 4 * batch)]
        batches = [part[at : at + batch] for part in portions for at in range(0, len(part), batch)]
        results[name] = 1 - sum(tokens) / sum(max(part) * len(part) for part in batches)
    return results | {"prompt_tokens": sum(tokens) / len(tokens)}


def measure(made: World, repeats: int, runs: Path) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds a question of each way, in turns, and what the last run was."""
    cache, few = made.store / FOLDER, made.asked[:: max(1, len(made.asked) // ALONE)]
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    facts: dict[str, Any] = {}
    for repeat in range(repeats):
        shutil.rmtree(cache, ignore_errors=True)
        times["one by one"].append(one_by_one(made, few))
        for way in WAYS[1:]:
            if way == "first run":
                cache.mkdir()
            seconds, facts = whole_task(made, runs / f"{way.replace(' ', '_')}_{repeat}")
            times[way].append(seconds)
    return times, facts


def table(document: dict[str, Any]) -> str:
    """A result as Markdown: the floor first."""
    facts, floor = document["facts"], document["floor_seconds"]
    rows = [
        f"Floor: {facts['prompt_tokens']:.0f} tokens a prompt at {document['matmul_per_second'] / 1e12:.2f} TFLOP/s "
        f"({document['dtype']}), {1 / floor:.1f} questions a second. Padding: {facts['padding']:.1%} of the tokens, "
        f"unsorted {facts['padding_unsorted']:.1%}.", "",
        "| way | questions a second | × one by one | floor / way |", "|---|---|---|---|",
    ]  # fmt: skip
    for line in document["lines"]:
        rate = spread(line["questions_per_second"])
        rows.append(f"| {line['way']} | {rate:.1f} | {spread(line['ratio']):.1f} | {rate.middle * floor:.0%} |")
    return "\n".join(rows)


def profiled(made: World) -> Callable[[], Any]:
    """A batch of questions answered, with samples kept."""
    from camml.features.samples import SampleFeatures

    kept = SampleFeatures(made.store / FOLDER, made.model, made.processor)
    answerer = PerceiverAnswerer(made.model, made.processor, kept)
    retriever = Retriever(Datastore.open(made.store, made.encoder), made.encoder, "image-image")
    queries = [Query(question["conversations"][0]["value"].removeprefix("<image>\n"), made.folder / question["image"])
               for question in made.asked[: made.batch]]  # fmt: skip
    return lambda: answerer.answer(queries, retriever.retrieve(queries, SHOTS), Decoding(max_new_tokens=TOKENS))


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, help="default: 7b on a GPU, tiny on a CPU")
    parser.add_argument("--dtype", choices=DTYPES, help="default: bfloat16 on a GPU, float32 on a CPU")
    parser.add_argument("--questions", type=int, default=600, help="(%(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="questions answered together (%(default)s)")
    parser.add_argument("--side", type=int, help="what the encoder sees, in pixels (default: 224, of a tiny model 56)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/evaluation.json"))
    args = parser.parse_args()
    device = pick_device()
    dtype, size = choose_dtype(args.dtype, device), pick_size(args.size, device, "tiny")
    side = args.side or (56 if size == "tiny" else 224)
    model, ceiling = build(CASES[size], device, dtype), matmul_ceiling(device, dtype)
    with tempfile.TemporaryDirectory() as work:
        made = world(Path(work), CASES[size], model, args.questions, args.batch, side)
        times, facts = measure(made, args.repeats, Path(work) / "runs")
        shown = profile(profiled(made), device)
    layers = sum(parameter.numel() for parameter in model.vlm.language_model.model.layers.parameters())
    document = circumstances(device, dtype) | {
        "size": size, "questions": args.questions, "batch": args.batch, "repeats": args.repeats, "facts": facts,
        "matmul_per_second": ceiling, "floor_seconds": 2 * layers * facts["prompt_tokens"] / ceiling,
        "lines": [
            {"way": way, "questions_per_second": vars(Spread.of([1 / seconds for seconds in each])),
             "ratio": vars(ratios(times["one by one"], each))}
            for way, each in times.items()
        ],
        "profile": shown,
    }  # fmt: skip
    write(document, args.out)
    print(f"{table(document)}\n\n(goal of `later run`: 20 times one by one)\n\nprofile of a batch:\n")
    print(profile_table(shown))


if __name__ == "__main__":
    main()
