"""Many clients at once: does every one get its own answer, how soon, and does the server's memory stay flat?

    python benchmarks/serve_load.py                                  # 64 clients for two minutes, a tiny model
    python benchmarks/serve_load.py --clients 16 --seconds 10
    python benchmarks/serve_load.py --model DIR --store DIR --tokens 64

Starts `camml serve` on this machine. Every question holds a secret on which its answer depends; what each answer
should be is asked beforehand, one question at a time. Exits with 1 if an answer was lost, mixed up or refused, or if
memory grew. Prints a table and writes JSON.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

SLACK = 1.10
"""Memory at the end may be so many times that of the first half: allocators breathe, leaks grow."""


@dataclass
class Tally:
    """What the clients saw."""

    answers: int = 0
    tokens: int = 0
    wrong: list[str] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model's folder; default: a tiny one, made on the spot")
    parser.add_argument("--store", help="a datastore; default: made on the spot")
    parser.add_argument("--engine", default="transformers")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--secrets", type=int, default=96, help="different questions")
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serve_load.json"))
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        model, store = args.model or build_model(Path(folder)), args.store or build_store(Path(folder))
        process, address = start(args, model, store)
        try:
            tally, distinct = asyncio.run(measure(args, address, psutil.Process(process.pid)))
        finally:
            process.terminate()
            code = process.wait(300)
    report = summary(args, tally, distinct, code)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    for name, value in report.items():
        print(f"{name:24} {value}")
    return 0 if report["passed"] else 1


async def measure(args: argparse.Namespace, address: str, server: psutil.Process) -> tuple[Tally, int]:
    """The tally of the load, and how many different answers there are to tell apart."""
    generator = random.Random(0)
    questions = [f"What belongs to the secret {generator.randrange(16**8):08x}?" for _ in range(args.secrets)]
    limits = httpx.Limits(max_connections=args.clients)
    async with httpx.AsyncClient(base_url=address, timeout=600, limits=limits) as http:
        expected = {question: (await ask(http, question, args.tokens))[0] for question in questions}
        tally, until = Tally(), time.perf_counter() + args.seconds
        watching = asyncio.ensure_future(watch(server, tally))
        await asyncio.gather(*(client(http, n, expected, args.tokens, until, tally) for n in range(args.clients)))
        watching.cancel()
    return tally, len(set(expected.values()))


async def client(
    http: httpx.AsyncClient, number: int, expected: dict[str, str], tokens: int, until: float, tally: Tally
) -> None:
    """Ask one question after the other until the time is over."""
    generator = random.Random(number)
    questions = list(expected)
    while True:
        question = generator.choice(questions)
        started = time.perf_counter()
        try:
            text, first, said = await ask(http, question, tokens)
        except (httpx.HTTPError, RuntimeError) as error:
            tally.wrong.append(f"{type(error).__name__}: {error}")
        else:
            tally.answers += 1
            tally.tokens += said
            tally.first.append(first - started)
            tally.whole.append(time.perf_counter() - started)
            if text != expected[question]:
                tally.wrong.append(f"{question}: {text!r} instead of {expected[question]!r}")
        if time.perf_counter() > until:  # every client has had one answer at least
            return


async def ask(
    http: httpx.AsyncClient, question: str, tokens: int, picture: str | None = None
) -> tuple[str, float, int]:
    """A streamed answer, when its first text came, and how many tokens it has; `picture` is a data URL."""
    shown = [{"type": "image_url", "image_url": {"url": picture}}] if picture else []
    messages = [{"role": "user", "content": [{"type": "text", "text": question}, *shown]}]
    body = {"model": "load", "messages": messages, "max_tokens": tokens, "stream": True,
            "stream_options": {"include_usage": True}}  # fmt: skip
    text, first, said, done = "", 0.0, 0, False
    async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        if answer.status_code != 200:
            raise RuntimeError(f"{answer.status_code} {(await answer.aread()).decode()}")
        async for line in answer.aiter_lines():
            if line == "data: [DONE]":
                done = True
            elif line.startswith("data: "):
                document = json.loads(line[6:])
                for choice in document.get("choices", ()):
                    piece = choice["delta"].get("content", "")
                    first = first or (time.perf_counter() if piece else 0.0)
                    text += piece
                if document.get("usage"):
                    said = document["usage"]["completion_tokens"]
    if not done:
        raise RuntimeError("the answer broke off")
    return text, first or time.perf_counter(), said


async def watch(server: psutil.Process, tally: Tally) -> None:
    """Note the memory of the server, twice a second."""
    while True:
        tally.memory.append(server.memory_info().rss / 2**20)
        await asyncio.sleep(0.5)


def summary(args: argparse.Namespace, tally: Tally, distinct: int, code: int) -> dict[str, Any]:
    """What came out, and whether it is good."""
    quarter = max(1, len(tally.memory) // 4)
    early, late = max(tally.memory[quarter : 2 * quarter] or tally.memory), max(tally.memory[-quarter:])
    passed = tally.answers >= args.clients and not tally.wrong and late < early * SLACK and code == 0
    return {
        "passed": passed,
        "clients": args.clients,
        "seconds": args.seconds,
        "answers": tally.answers,
        "wrong": len(tally.wrong),
        "examples_of_wrong": tally.wrong[:3],
        "different_answers": f"{distinct} of {args.secrets}",
        "tokens_per_second": round(tally.tokens / args.seconds, 1),
        "answers_per_second": round(tally.answers / args.seconds, 2),
        "first_token_ms": spread(tally.first),
        "whole_answer_ms": spread(tally.whole),
        "memory_mb_second_quarter": round(early, 1),
        "memory_mb_last_quarter": round(late, 1),
        "exit_code_of_server": code,
    }


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median and tail in milliseconds."""
    ordered = sorted(seconds) or [0.0]
    return {
        "median": round(1000 * statistics.median(ordered), 1),
        "p95": round(1000 * ordered[int(0.95 * (len(ordered) - 1))], 1),
        "most": round(1000 * ordered[-1], 1),
    }


def start(args: argparse.Namespace, model: str, store: str) -> tuple[subprocess.Popen[str], str]:
    """The server as a process of its own, and its address."""
    slots = ["--engine-option", f"slots={args.slots}"] if args.engine == "transformers" else []
    process = subprocess.Popen(
        [sys.executable, "-m", "camml", "serve", "--model", model, "--model-name", "load", "--store", f"load={store}",
         "--engine", args.engine, *slots, "--port", "0", "--max-waiting", str(args.clients)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
    )  # fmt: skip
    assert process.stdout
    line = process.stdout.readline()
    if not line.startswith("http"):
        raise SystemExit("the server did not start; try `camml serve` by hand")
    return process, line.split()[0]


def build_model(folder: Path) -> str:
    """A CaMML model of a few thousand random weights, which says something else to every question."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, LlamaConfig, PreTrainedTokenizerFast

    from camml.model import CamMLForConditionalGeneration
    from camml.model.parts import config_of_parts, processor_of_parts

    special = ["<pad>", "<s>", "</s>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({token: number for number, token in enumerate([*special, *letters])}, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=7
    )
    config = config_of_parts(
        vision, text, perceiver_hidden_size=24, perceiver_queries=4, perceiver_heads=2,
        perceiver_intermediate_size=32,
    )  # fmt: skip
    torch.manual_seed(0)
    model = CamMLForConditionalGeneration(config)
    with torch.no_grad():
        # louder than usual, and more attentive, so that every letter of the question shows in the answer
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                attentive = "language_model." in name and ("q_proj" in name or "k_proj" in name)
                parameter.mul_(48.0 if attentive else 8.0)
    model.save_pretrained(folder / "model")
    images = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor_of_parts(config, images, tokenizer).save_pretrained(folder / "model")
    return str(folder / "model")


def build_store(folder: Path) -> str:
    """A hundred samples of words and pictures."""
    from PIL import Image

    from camml import encoders
    from camml.datastore import Datastore
    from camml.types import Sample

    generator = random.Random(1)
    samples = []
    for number in range(100):
        image = None
        if number % 2:
            image = folder / f"{number}.png"
            Image.new("RGB", (40, 30), (number * 2, 255 - number, generator.randrange(256))).save(image)
        samples.append(Sample(f"s{number}", f"the secret {generator.randrange(16**4):04x} belongs to {number}", image))
    encoder = encoders.load("hashed", joint=True)
    Datastore.build(folder / "store", samples, encoder, encoder_options={"joint": True})
    return str(folder / "store")


if __name__ == "__main__":
    sys.exit(main())
