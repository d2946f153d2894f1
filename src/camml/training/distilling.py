"""Learning from a teacher that reads the samples whole: a language model with their texts in its prompt.

The teacher sees every conversation once, ahead. The likeliest tokens at each place of an answer are kept in a folder:

part-00000.npz   up to `ROWS` conversations: ids, the number of learned tokens of each, tokens, log-probabilities
manifest.json    what they were computed from, and whether all of them are there
"""

import hashlib
import io
import json
import logging
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from camml import prompts, weights
from camml.data import examples
from camml.data.examples import Example, TrainingRows
from camml.data.llava_json import Conversation
from camml.durable import write_file
from camml.errors import OptionError, SampleError, StoreCorruptedError
from camml.model.loading import kind_of, load_model
from camml.model.modeling import IGNORED

MANIFEST, FORMAT = "manifest.json", "camml-teacher"
ROWS, LIKELIEST = 64, 32
"""Conversations of a file, and tokens that are kept of each place."""

OPTIONAL_FIELDS = frozenset({"weights", "prompt_style", "thinking"})
"""Entries of an origin that lessons of earlier versions do not have."""

WORDING = "brief"
"""How texts and question are worded for the teacher, one of `camml.prompts.PASTES`."""

_logger = logging.getLogger("camml")

Lesson = tuple[Tensor, Tensor]
"""int64[N, K] and float32[N, K]: the tokens a teacher finds likeliest at N learned places, and log-probabilities."""


class TeacherLogProbs:
    """The words of a teacher about each conversation of a training set.

    Args:
      folder: that `prepare` wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.lessons: dict[str, tuple[Any, Any]] = {}
        for file in sorted(folder.glob("part-*.npz")):
            try:
                part = np.load(file)
                ends = np.cumsum(part["counts"])
                for name, tokens, scores in zip(
                    part["ids"].tolist(),
                    np.split(part["tokens"], ends[:-1]),
                    np.split(part["scores"], ends[:-1]),
                    strict=True,
                ):
                    self.lessons[name] = tokens, scores
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                raise StoreCorruptedError(
                    f"{file} cannot be read ({error}); delete it, and it is computed again"
                ) from error

    def __call__(self, rows: Sequence[Example]) -> Lesson:
        """Return the lessons for all learned tokens of a batch, row after row; -1 where a token has none."""
        tokens, scores = [], []
        for row in rows:
            count = sum(label != IGNORED for label in row.labels[1:])
            its_tokens, its_scores = self.lessons[row.id]
            lacking = max(
                0, count - len(its_tokens)
            )  # the teacher's prompt is longer, so that it may see fewer of them
            tokens.append(np.pad(its_tokens[:count], ((0, lacking), (0, 0)), constant_values=-1))
            scores.append(np.pad(its_scores[:count], ((0, lacking), (0, 0))))
        return torch.from_numpy(np.concatenate(tokens)).long(), torch.from_numpy(np.concatenate(scores)).float()


def prepare(teacher: str, folder: Path, rows: TrainingRows, about: dict[str, Any], device: str) -> TeacherLogProbs:
    """Return what a teacher says about all rows, computing what is not in `folder` yet.

    Args:
      teacher: the folder or name of a language model with the tokenizer of the model that is trained.
      about: the hashes of data and neighbors.

    Raises:
      OptionError: no language model, another tokenizer, or `folder` holds lessons of something else.
      DiskError: the folder cannot be written.
    """
    source = weights.folder(teacher)
    if kind_of(source) != "language":
        raise OptionError(f"--distill {teacher}: give a language model, which reads texts of samples in its prompt")
    manifest = folder / MANIFEST
    known = json.loads(manifest.read_text("utf-8")) if manifest.is_file() else {}
    now = _manifest(source, rows, about, known)
    if known and known["origin"] != now["origin"]:
        raise OptionError(
            f"{folder} holds lessons of another teacher, data, number of samples or prompt style; give another "
            "--distill_cache"
        )
    if not known.get("whole"):
        folder.mkdir(parents=True, exist_ok=True)
        write_file(manifest, json.dumps({**now, "whole": False}).encode())
        _compute(source, folder, rows, device)
    if known != (whole := {**now, "whole": True}):
        write_file(manifest, json.dumps(whole).encode())
    if "files" not in now:
        _logger.warning(
            "the lessons in %s are of an earlier version and do not say by which weights of the teacher and in which "
            "prompt style they were made; if either was another one, give another --distill_cache", folder
        )  # fmt: skip
    lessons = TeacherLogProbs(folder)
    if lost := [row.id for row in rows.conversations if row.id not in lessons.lessons]:
        raise OptionError(
            f"{folder} has no lesson about {lost[0]!r} ({len(lost)} rows are missing), which an earlier run left out; "
            "give another --distill_cache"
        )
    return lessons


def _manifest(source: Path, rows: TrainingRows, about: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Return what lessons of a teacher are made from, with the state of its files; of an old `known` what that tells.

    Args:
      known: the manifest that is there; weights whose sizes and times are those that it names are not read again.
    """
    files = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(source.iterdir())
             if path.suffix in (".safetensors", ".bin")}  # fmt: skip
    origin = {"format": FORMAT, "teacher": _fingerprint(source), "wording": WORDING, "shots": rows.shots, **about}
    earlier = known.get("origin", {})
    if known and OPTIONAL_FIELDS.isdisjoint(earlier):
        seen = _fingerprint(source, hidden=True)  # as earlier versions made it
        return {"origin": origin | {"teacher": seen} if earlier.get("teacher") == seen else origin}
    words = {"prompt_style": rows.processor.prompt_style, "thinking": rows.processor.thinking}
    digest = earlier["weights"] if known.get("files") == files else weights.tensors_hash(source)
    return {"origin": {**origin, **words, "weights": digest}, "files": files}


def _compute(source: Path, folder: Path, rows: TrainingRows, device: str) -> None:
    """Write the files that are not there yet."""
    model, tokenizer = load_model(source, dtype="auto")
    if tokenizer.get_vocab() != {t: n for t, n in rows.processor.tokenizer.get_vocab().items() if n < len(tokenizer)}:
        raise OptionError(
            f"--distill {source}: its tokenizer is not that of the model that is trained; their tokens differ"
        )
    model = model.to(device).eval()
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or rows.max_length
    starts = range(0, len(rows), ROWS)
    for part, start in enumerate(tqdm(starts, "teacher", disable=None, file=sys.stderr)):
        file = folder / f"part-{part:05}.npz"
        if file.is_file():
            continue
        ids, counts, tokens, scores = [], [], [], []
        for conversation in rows.conversations[start : start + ROWS]:
            its_tokens, its_scores = _lesson(model, rows, conversation, limit)
            ids.append(conversation.id)
            counts.append(len(its_tokens))
            tokens.append(its_tokens.int().cpu().numpy())
            scores.append(its_scores.half().cpu().numpy())
        content = io.BytesIO()
        np.savez(content, ids=ids, counts=counts, tokens=np.concatenate(tokens), scores=np.concatenate(scores))
        write_file(file, content.getvalue())


@torch.inference_mode()
def _lesson(model: Any, rows: TrainingRows, conversation: Conversation, limit: int) -> Lesson:
    """Return what the teacher finds likeliest at each learned place of a conversation, all its samples' texts read.

    There is none for a conversation that the teacher has no room for.
    """
    context = rows.context_of(conversation.id)[: rows.shots] if rows.shots else ()
    first, *others = conversation.turns
    question = prompts.paste(first.question, [neighbor.sample.text for neighbor in context], WORDING)
    worded = replace(conversation, turns=(replace(first, question=question), *others), image=None)
    width = min(LIKELIEST, model.get_input_embeddings().num_embeddings)
    try:
        row = examples.build(worded, (), rows.processor, limit)
    except SampleError:
        return torch.zeros(0, width, dtype=torch.long), torch.zeros(0, width)
    logits = model(input_ids=torch.tensor([row.input_ids], device=model.device)).logits[0, :-1]
    learned = torch.tensor(row.labels[1:]) != IGNORED
    scores = logits[learned.to(logits.device)].float().log_softmax(-1)
    likeliest = scores.topk(width)
    return likeliest.indices, likeliest.values


def divergence(logits: Tensor, labels: Tensor, tokens: Tensor, scores: Tensor) -> Tensor:
    """Return float[]: the sum over learned tokens of how far a student is from its teacher, in nats.

    Both are compared by Kullback-Leibler divergence on the teacher's likeliest tokens, whose probabilities are taken to
    sum up to one.

    Args:
      logits: float[B, T, V] of the student, or float[B, P, V] of the P places where any row has something to learn.
      labels: int64[B, T], `IGNORED` where nothing is learned.
      tokens, scores: what `TeacherLogProbs` gives for the batch.
    """
    learned = functional.pad(labels[:, 1:], (0, 1), value=IGNORED) != IGNORED
    if logits.shape[1] != labels.shape[1]:
        learned = learned[:, learned.any(dim=0)]
    student = logits[learned].float()
    taught = tokens[:, 0] >= 0
    wanted = functional.log_softmax(scores[taught], -1)
    predicted = functional.log_softmax(student[taught], -1).gather(-1, tokens[taught])
    return functional.kl_div(predicted, wanted, reduction="sum", log_target=True)


def _fingerprint(folder: Path, *, hidden: bool = False) -> str:
    """Return a hash of the names and sizes of a model's files, with those that are `hidden` or not, and of its JSON."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        if file.name.startswith(".") and not hidden:
            continue
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        if file.suffix == ".json":
            digest.update(file.read_bytes())
    return digest.hexdigest()
