"""What was found, put into order by a cross-encoder."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from camml import encoders
from camml.datastore import Datastore
from camml.errors import ModelFolderError, OptionError, UnknownNameError
from camml.features.reranking import Reranker, nearest
from camml.retriever import Retriever
from camml.types import Neighbor, Query, Sample
from tests import tiny


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "cross"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=320, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64, num_labels=1,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    for parameter in model.parameters():
        parameter.data.mul_(8.0)
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


CONTEXT = tuple(Neighbor(Sample(name, text), 1 - place / 10) for place, (name, text) in enumerate(
    [("a", "a red square"), ("b", "the capital of France is Paris"), ("c", "which colour is the picture " * 40)]
))  # fmt: skip


def test_the_order_is_that_of_the_models_own_scores(cross_encoder: Path) -> None:
    reranker = Reranker.load(str(cross_encoder))
    [ordered] = reranker.ordered([Query("the capital of France")], [CONTEXT])
    scores = {}
    for neighbor in CONTEXT:
        inputs = reranker.tokenizer(
            "the capital of France", neighbor.sample.text, truncation=True, max_length=64, return_tensors="pt"
        )
        with torch.inference_mode():
            scores[neighbor.sample.id] = float(reranker.model(**inputs).logits[0, -1])
    wanted = sorted(scores, key=lambda name: -scores[name])
    assert [neighbor.sample.id for neighbor in ordered] == wanted
    assert len(set(scores.values())) == 3
    assert {neighbor.sample.id: neighbor.score for neighbor in ordered} == {n.sample.id: n.score for n in CONTEXT}


def test_a_picture_alone_changes_nothing(cross_encoder: Path) -> None:
    assert Reranker.load(str(cross_encoder)).ordered([Query("  ")], [CONTEXT]) == [CONTEXT]


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_sample_is_refused_with_a_cross_encoder_too(tmp_path: Path, k: int) -> None:
    encoder = encoders.load("hashed")
    retriever = Retriever(Datastore.build(tmp_path / "store", tiny.samples(tmp_path), encoder), encoder)
    as_it_was: Any = SimpleNamespace(ordered=lambda queries, contexts: contexts)
    assert [len(context) for context in nearest(retriever, as_it_was, [Query("red")], 2)] == [2]
    with pytest.raises(OptionError, match=f"at least 1, not {k}"):
        nearest(retriever, as_it_was, [Query("red")], k)


def test_another_kind_of_model_is_named(llm_folder: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"not a cross-encoder .*LlamaForCausalLM"):
        Reranker.load(str(llm_folder))
    with pytest.raises(UnknownNameError, match="nowhere"):
        Reranker.load("nowhere")


def test_a_question_longer_than_the_model_reads_is_cut(cross_encoder: Path) -> None:
    reranker = Reranker.load(str(cross_encoder))
    pasted = "which colour is the picture " * 40
    [ordered] = reranker.ordered([Query(pasted)], [CONTEXT])
    assert {neighbor.sample.id for neighbor in ordered} == {"a", "b", "c"}
    first, second = reranker._scores(pasted, ["a red square", "the capital of France is Paris"])
    assert first != second, "the texts were not read"
