"""What each sample does to an answer."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from camml import assistant
from camml.answering import Decoding
from camml.assistant import Assistant
from camml.assistant.attribution import attribute
from camml.errors import OptionError
from camml.types import Context, Neighbor, Query, Sample
from tests import tiny

SHORT = Decoding(max_new_tokens=4)


def asked(model: Assistant, samples: Sequence[Sample]):
    context: Context = tuple(Neighbor(sample, 0.5) for sample in samples)
    [ready] = model.ready([Query("what", samples[0].image)], [context])
    [answer] = model.answer([ready], SHORT)
    return ready, answer


@pytest.mark.long
@pytest.mark.parametrize("kind", ["camml_folder", "llm_folder", "vlm_folder", "camml_vlm_folder"])
def test_it_is_the_change_of_the_answers_probability(kind: str, request, tmp_path: Path) -> None:
    model = assistant.load(request.getfixturevalue(kind))
    samples = tiny.samples(tmp_path)[:2]
    ready, answer = asked(model, samples)
    effects = attribute(model, ready, answer)
    assert [effect.id for effect in effects] == ["red", "green"]
    whole = model.answerer.likelihood(ready.query, ready.context, answer.text)
    alone = model.answerer.likelihood(ready.query, ready.context[1:], answer.text)
    assert whole < 0
    assert effects[0].change == pytest.approx(alone - whole)
    assert effects[0].change != pytest.approx(effects[1].change)


def test_the_likelihood_is_that_of_the_tokens_one_by_one(llm_folder: Path) -> None:
    answerer = assistant.load(llm_folder).answerer
    query, said = Query("what"), "red square"
    ids = answerer.tokenizer.encode(said, add_special_tokens=False)
    prompt = answerer._inputs([answerer.prompt(query, ())])["input_ids"]
    total = 0.0
    with torch.inference_mode():
        for token in ids:
            total += float(answerer.model(prompt).logits[0, -1].log_softmax(-1)[token])
            prompt = torch.cat([prompt, torch.tensor([[token]])], dim=1)
    assert answerer.likelihood(query, (), said) == pytest.approx(total, abs=1e-4)
    assert answerer.likelihood(query, (), "") == 0.0


@pytest.mark.long
def test_what_is_kept_of_samples_is_used(camml_folder: Path, tmp_path: Path) -> None:
    samples = tiny.samples(tmp_path)[:2]
    plain, kept = assistant.load(camml_folder), assistant.load(camml_folder, cache=tmp_path / "cache")
    (ready, answer), (again, same) = asked(plain, samples), asked(kept, samples)
    assert kept.answerer.cached is not None
    differences = zip(attribute(plain, ready, answer), attribute(kept, again, answer), strict=True)
    assert same.text == answer.text
    assert all(difference.change == pytest.approx(other.change, abs=0.05) for difference, other in differences)


def test_a_question_that_was_refused_has_nothing_to_attribute(camml_folder: Path, tmp_path: Path) -> None:
    model = assistant.load(camml_folder)
    ready, answer = asked(model, tiny.samples(tmp_path)[:1])
    from dataclasses import replace

    with pytest.raises(OptionError, match="nothing to attribute"):
        attribute(model, replace(ready, refusal="too far"), answer)
