"""Clients with pictures: how much faster are many at once than one after the other?

    python benchmarks/serve_pictures.py --model models/camml-mini --store DIR --pictures DIR
    python benchmarks/serve_pictures.py                              # a tiny model, to see that it works

Each client asks a question about a picture of its own, answered from samples. The same questions are asked one after
the other and all at once, by turns; a first turn, which is not counted, fills the caches. Answers must be the same
both times. Prints a table with the spread over the turns, and writes JSON. On a busy machine the seconds of the
processor say more than those of the clock.
"""

import argparse
import asyncio
import base64
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image
from serve_load import ask, build_model, build_store, start

QUESTIONS = (
    "What is the capital of this country?",
    "Which currency is used there, and which language is spoken?",
    "Tell me all that you know about this country.",
    "On which continent is this country, and in which region of it?",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model's folder; default: a tiny one, made on the spot")
    parser.add_argument("--store", help="a datastore; default: made on the spot")
    parser.add_argument("--pictures", type=Path, help="a folder of pictures to ask about; default: made on the spot")
    parser.add_argument("--engine", default="transformers")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serve_pictures.json"))
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        model, store = args.model or build_model(Path(folder)), args.store or build_store(Path(folder))
        process, address = start(args, model, store)
        try:
            report = asyncio.run(measure(args, address, questions(args), psutil.Process(process.pid)))
        finally:
            process.terminate()
            process.wait(300)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    for name, value in report.items():
        print(f"{name:28} {value}")
    return 0 if report["same_answers"] else 1


def questions(args: argparse.Namespace) -> list[tuple[str, str]]:
    """A question and a picture for each client."""
    if args.pictures:
        files = sorted(path for path in args.pictures.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
        data = [file.read_bytes() for file in files[:: max(1, len(files) // args.clients)][: args.clients]]
    else:
        data = []
        for number in range(args.clients):
            stream = io.BytesIO()
            Image.new("RGB", (60, 40), (number * 15 % 256, 255 - number * 9 % 256, 80)).save(stream, "PNG")
            data.append(stream.getvalue())
    urls = [f"data:image/png;base64,{base64.b64encode(png).decode()}" for png in data]
    return [(QUESTIONS[number % len(QUESTIONS)], url) for number, url in enumerate(urls)]


def worked(server: psutil.Process) -> float:
    """Seconds of the processor that the server has had."""
    times = server.cpu_times()
    return times.user + times.system


async def measure(
    args: argparse.Namespace, address: str, asked: Sequence[tuple[str, str]], server: psutil.Process
) -> dict[str, Any]:
    """Both ways by turns, and what came out."""
    work_alone: list[float] = []
    work_together: list[float] = []
    alone: list[float] = []
    together: list[float] = []
    firsts: list[float] = []
    answers: list[list[str]] = []
    tokens = 0
    limits = httpx.Limits(max_connections=len(asked))
    async with httpx.AsyncClient(base_url=address, timeout=900, limits=limits) as http:
        for turn in range(args.turns + 1):
            begun, idle = time.perf_counter(), worked(server)
            one_by_one = [await ask(http, question, args.tokens, picture) for question, picture in asked]
            middle, half = time.perf_counter(), worked(server)
            at_once = await asyncio.gather(*(ask(http, question, args.tokens, picture) for question, picture in asked))
            end = time.perf_counter()
            answers += [[text for text, _, _ in one_by_one], [text for text, _, _ in at_once]]
            tokens = sum(said for _, _, said in one_by_one)
            if turn:
                work_alone.append(half - idle)
                work_together.append(worked(server) - half)
                alone.append(middle - begun)
                together.append(end - middle)
                firsts += [first - middle for _, first, _ in at_once]
    ratios = [single / joint for single, joint in zip(alone, together, strict=True)]
    return {
        "clients": len(asked),
        "tokens_of_all_answers": tokens,
        "one_by_one_s": [round(seconds, 1) for seconds in alone],
        "at_once_s": [round(seconds, 1) for seconds in together],
        "ratio_median": round(statistics.median(ratios), 2),
        "ratio_least_and_most": [round(min(ratios), 2), round(max(ratios), 2)],
        "one_by_one_processor_s": [round(seconds, 1) for seconds in work_alone],
        "at_once_processor_s": [round(seconds, 1) for seconds in work_together],
        "ratio_of_processor_seconds": round(sum(work_alone) / sum(work_together), 2),
        "first_token_median_and_most_s": [round(statistics.median(firsts), 1), round(max(firsts), 1)],
        "same_answers": all(texts == answers[0] for texts in answers),
        "different_answers": len(set(answers[0])),
    }


if __name__ == "__main__":
    sys.exit(main())
