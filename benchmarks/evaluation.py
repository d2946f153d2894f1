"""Questions a second of a whole task, by `camml eval run`, beside asking one at a time with nothing kept.

    python benchmarks/evaluation.py                       # a tiny model on a CPU, of 7B size on a GPU
    python benchmarks/evaluation.py --size small --questions 60

Weights are random and questions invented: pictures of colored squares, three questions about each, and a datastore of
such pictures with texts. `ours` is a run of `factpix` with three samples, without loading the model; `one by one`
embeds each question's picture, retrieves, embeds its samples and answers, one question after the other, and keeps
nothing. Both give answers of the same length. Prints a table and writes JSON and a plot.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from context_cost import tokenizer
from decode import CASES, Spread, build
from PIL import Image
from transformers import CLIPImageProcessorPil

from camml import encoders
from camml.answering import Decoding
from camml.answering.perceiver import PerceiverAnswerer
from camml.datastore import Datastore
from camml.evaluation.contexts import variants
from camml.evaluation.run import Options, run
from camml.model import CamMLForConditionalGeneration, CamMLProcessor
from camml.retriever import Retriever
from camml.types import Query, Sample

SIDE = 28  # of what the encoder sees: two patches a side are enough for squares of one color
SHOTS, TOKENS, OF_EACH = 3, 8, 3


def squares(folder: Path, count: int) -> list[Path]:
    """Pictures of one color each."""
    chance = np.random.default_rng(0)
    files = []
    for number in range(count):
        files.append(folder / f"{number}.png")
        color = tuple(int(one) for one in chance.integers(0, 255, 3))
        Image.new("RGB", (224, 224), color).save(files[-1])
    return files


def data(folder: Path, questions: int, words: int, encoder: Any) -> Path:
    """A datastore and the file of questions about its pictures."""
    chance = np.random.default_rng(1)
    pictures = squares(folder, -(-questions // OF_EACH))
    samples = [
        Sample(str(number), " ".join(f"w{one}" for one in chance.integers(0, 400, words)), file)
        for number, file in enumerate(pictures)
    ]
    Datastore.build(folder / "store", samples, encoder)
    asked = [
        {
            "id": str(number),
            "image": pictures[number // OF_EACH].name,
            "conversations": [
                {"from": "human", "value": f"<image>\nw1 w2 w3 w{number % 400} w{number % 7}"},
                {"from": "gpt", "value": "w1"},
            ],
            "meta": {"topic": "squares", "class": str(number), "field": "name", "kind": "open", "answer": "w1"},
        }
        for number in range(questions)
    ]
    (folder / "heldout.json").write_text(json.dumps(asked))
    return folder


def one_by_one(model: Any, processor: Any, store: Path, encoder: Any, asked: list[dict[str, Any]]) -> float:
    """Seconds a question."""
    answerer = PerceiverAnswerer(model, processor)
    retriever = Retriever(Datastore.open(store, encoder), encoder, "image-image")
    decoding = Decoding(max_new_tokens=TOKENS)
    started = time.perf_counter()
    for one in asked:
        text = one["conversations"][0]["value"].removeprefix("<image>\n")
        query = Query(text, store.parent / one["image"])
        answerer.answer([query], retriever.retrieve([query], SHOTS), decoding)
    return (time.perf_counter() - started) / len(asked)


def ours(folder: Path, model: Path, out: Path, batch: int) -> tuple[float, dict[str, Any]]:
    """Seconds a question, of which what for."""
    store = folder / "store"
    options = Options(
        data=folder, out=out, model=str(model), use="perceiver", store=str(store), mode="image-image", retrieved=SHOTS,
        batch_size=batch, max_new_tokens=TOKENS, predict_only=True, encoder_options={"side": SIDE},
    )  # fmt: skip
    started = time.perf_counter()
    outcome = run(["factpix"], variants(["retrieved"], [SHOTS]), options)[0]
    whole = time.perf_counter() - started
    seconds = outcome.measures["seconds"]
    return (seconds["retrieval"] or 0) + (seconds["answer"] or 0), {"whole_run_s": whole, **seconds}


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, help="default: 7b on a GPU, tiny on a CPU")
    parser.add_argument("--questions", type=int, default=600, help="(%(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="questions answered together (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/evaluation.json"))
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = args.size or ("7b" if device.type == "cuda" else "tiny")
    shape = CASES[size]
    model: CamMLForConditionalGeneration = build(shape, device)
    images = CLIPImageProcessorPil(
        size={"shortest_edge": shape.image}, crop_size={"height": shape.image, "width": shape.image}
    )
    processor = CamMLProcessor.build(model.config, images, tokenizer(), prompt_style="official")
    encoder = encoders.load("mini", side=SIDE)
    plain, batched, parts = [], [], {}
    with tempfile.TemporaryDirectory() as work:
        folder, saved = data(Path(work), args.questions, shape.words, encoder), Path(work) / "model"
        model.save_pretrained(saved)
        processor.save_pretrained(saved)
        asked = json.loads((folder / "heldout.json").read_text())
        for repeat in range(args.repeats):
            few = asked[:: max(1, len(asked) // 60)]
            plain.append(one_by_one(model, processor, folder / "store", encoder, few))
            seconds, parts = ours(folder, saved, Path(work) / f"run{repeat}", args.batch)
            batched.append(seconds)
    rates = {"one by one": Spread.of([1 / one for one in plain]), "ours": Spread.of([1 / one for one in batched])}
    ratio = Spread.of([slow / quick for slow, quick in zip(plain, batched, strict=True)])
    print("| way | questions a second |\n|---|---|")
    print("\n".join(f"| {way} | {rate:.1f} |" for way, rate in rates.items()))
    print(f"\nratio: {ratio:.1f} (goal: 20)")
    document = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine(),
        "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "load": os.getloadavg(),
        "size": size, "questions": args.questions, "batch": args.batch, "seconds": parts,
        "rates": {way: vars(rate) for way, rate in rates.items()}, "ratio": vars(ratio),
    }  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=1))
    plot(rates, args.out.with_suffix(".png"))


def plot(rates: dict[str, Spread], file: Path) -> None:
    """Bars with their spread."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    middle = np.array([rate.middle for rate in rates.values()])
    reach = [middle - [rate.least for rate in rates.values()], [rate.greatest for rate in rates.values()] - middle]
    axes.bar(list(rates), middle, yerr=reach, capsize=4)
    axes.set(ylabel="questions a second")
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
