"""Pooled context at tiny size: what is averaged, how long contexts are, that the script learns and goes on."""

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

from camml import reading

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return import_module("pooled_context")


def test_pooling_by_two_gives_the_means_of_neighbors_and_of_what_is_left(script: ModuleType) -> None:
    states = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 0.0], [7.0, 2.0], [9.0, 9.0]])
    assert script.pooled(states, 2).tolist() == [[2, 4], [6, 1], [9, 9]]
    assert script.pooled(states, 2, 2.0).norm(dim=-1).tolist() == pytest.approx([2, 2, 2])


@pytest.mark.parametrize(("words", "tokens"), [(72, [72, 36, 18, 28 + 11]), (41, [41, 21, 11, 28 + 4]),
                                               (20, [20, 10, 5, 20])])  # fmt: skip
def test_contexts_are_as_long_as_said(script: ModuleType, words: int, tokens: list[int]) -> None:
    text = script.Encoded(torch.randn(words, 4), torch.randn(words, 4))
    assert [len(design(text, 1.0)) for design in script.DESIGNS.values()] == tokens
    for design, length in zip(script.DESIGNS.values(), tokens, strict=True):
        assert torch.equal(script.cut_like(design)(text, 1.0), text.words[:length])


def test_padding_is_not_pooled_in(script: ModuleType, llm_folder: Path) -> None:
    reader = script.Reader(llm_folder, torch.float32)
    texts = ["Paris", "the capital of France is Paris and nothing else is"]
    together, alone = reader.encode(texts, 1), [reader.encode([text], 1)[0] for text in texts]
    for text, one, other in zip(texts, together, alone, strict=True):
        assert len(one.states) == len(one.words) == len(reader.tokens(text))
        torch.testing.assert_close(script.pooled(one.states, 2), script.pooled(other.states, 2))


def test_states_are_those_behind_the_layers_asked_for(script: ModuleType, llm_folder: Path) -> None:
    reader = script.Reader(llm_folder, torch.float32)
    [first] = reader.encode(["Paris is red"], 1)
    line = torch.cat([reader.embed(torch.tensor([reader.start])), first.words])[None]
    states = reader.model(inputs_embeds=line, output_hidden_states=True).hidden_states
    torch.testing.assert_close(first.states, states[1][0, 1:])


@pytest.mark.long
def test_all_designs_are_trained_and_asked_and_none_twice(
    script: ModuleType, llm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        reading.build(tmp_path / str(seed), rows=8, seed=seed)
    out = tmp_path / "result.json"
    command = ["pooled_context.py", str(tmp_path / "1"), str(tmp_path / "2"), "--model", str(llm_folder),
               "--layers", "1", "--bounds", "1", "999", "--questions", "4", "--steps", "1"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [*command, "--designs", "words", "pooled by 4", "--out", str(out)])
    script.main()
    first = json.loads(out.read_text())
    assert list(first["designs"]) == ["words", *(f"words, cut like {name}" for name in list(script.DESIGNS)[1:]),
                                      "pooled by 4"]  # fmt: skip
    assert first["designs"]["words, cut like pooled by 4"]["tokens"] == first["designs"]["pooled by 4"]["tokens"]
    assert first["designs"]["words"]["all"]["questions"] == 4
    monkeypatch.setattr(script, "train", lambda *_: pytest.fail("trained again"))
    script.main()
    assert json.loads(out.read_text())["designs"] == first["designs"]


@pytest.mark.long
def test_a_tiny_model_learns_its_rows_by_heart(
    script: ModuleType, llm_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "RATE", 2e-2)
    reader = script.Reader(llm_folder, torch.float32)
    rows = [script.Row(text, [("?", text)], ["open"]) for text in ("Paris", "red")]
    contexts = [encoded.words for encoded in reader.encode([row.text for row in rows], 1)]
    losses = script.train(reader, contexts, rows, 80)
    assert losses[-1] < losses[0] / 2
    assert script.score(reader, contexts, rows)["all"]["percent"] == 100
    reader.restart()
    assert script.score(reader, contexts, rows)["all"]["percent"] < 100


def test_the_interval_is_that_of_wilson(script: ModuleType) -> None:
    assert script.share([True] * 45 + [False] * 5) == {"percent": 90.0, "from": 78.6, "to": 95.7, "questions": 50}


@pytest.mark.parametrize("name", ["pooled_context", "pooled_context_300"])
def test_the_page_shows_what_was_measured(script: ModuleType, name: str) -> None:
    document = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    page = (ROOT / "docs/camml-mini.md").read_text()
    assert document["command"] in page
    for line in script.table(document).splitlines():
        assert line in page, f"docs/camml-mini.md lacks {line!r}; copy the table of the script"
