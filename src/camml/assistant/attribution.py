"""The samples that an answer depends on: it is looked at again without each of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from camml.assistant.answer import Answer, Ready
from camml.errors import OptionError

if TYPE_CHECKING:
    from camml.assistant import Assistant


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of leaving a sample out.

    Attributes:
      id: of the sample.
      change: of the logarithm of the probability that the model gives its own answer: below 0 where the answer becomes
        less likely without the sample, so that the lowest is of the sample that mattered most.
    """

    id: str
    change: float


def attribute(assistant: "Assistant", ready: Ready, answer: Answer) -> list[Effect]:
    """Return what leaving out each sample does to the answer, in the order of the evidence.

    The model reads the answer once more for each sample; with samples cached beside the datastore (`camml store cache`)
    that is a reading of the prompt alone.

    Raises:
      OptionError: no model answered, or one that does not tell how likely an answer is.

    Example:
      >>> import camml
      >>> model = camml.load("models/camml-mini")
      >>> store = model.index("samples.csv", "attributed")
      >>> query = camml.Query("Which seal does the pump need?")
      >>> [ready] = store.ready([query], store.find([query], 2))
      >>> [answer] = model.answer([ready])
      >>> [effect.id for effect in attribute(model, ready, answer)]
      ['pump-7', 'lamp-2']
    """
    if ready.refusal:
        raise OptionError("nothing to attribute: no sample is near enough, so the model was not asked")
    answerer, text = assistant.answerer, answer.text
    whole = answerer.likelihood(ready.query, ready.context, text)
    effects = []
    for place, neighbor in enumerate(ready.context):
        others = (*ready.context[:place], *ready.context[place + 1 :])
        effects.append(Effect(neighbor.sample.id, answerer.likelihood(ready.query, others, text) - whole))
    return effects
