"""The nearness from which on samples are answered from."""

import math
from dataclasses import dataclass

from camml.datastore import Calibration, Datastore, calibration_of
from camml.errors import OptionError
from camml.evidence import near
from camml.ranking import check_min_score
from camml.types import Context

FALLBACKS = ("refuse", "model")


@dataclass(frozen=True, slots=True)
class Threshold:
    """The nearness that samples must have to be answered from.

    Attributes:
      min_score: the score that one of them must have; None for what was calibrated.
      calibration: None where there is none, so that everything is near enough.
      fallback: `refuse`, or `model` for an answer of the model without samples.
      margin: see `camml.evidence.near`.
    """

    min_score: float | None
    calibration: Calibration | None
    fallback: str
    margin: float | None = None

    @classmethod
    def of(
        cls,
        datastore: Datastore,
        min_score: float | None = None,
        fallback: str = "refuse",
        margin: float | None = None,
    ) -> "Threshold":
        """Return what holds for a datastore.

        Raises:
          OptionError: a setting is invalid.
        """
        if fallback not in FALLBACKS:
            raise OptionError(f"fallback is {fallback!r}; it can be: {', '.join(FALLBACKS)}")
        check_min_score(min_score)
        check_margin(margin)
        return cls(min_score, calibration_of(datastore) if min_score is None else None, fallback, margin)

    def near(self, context: Context) -> Context:
        """Return the samples that are near enough beside the nearest one."""
        return near(context, self.margin)

    def weakness(self, context: Context) -> str:
        """Return why there is nothing to answer from; empty where a sample is near enough, or where nobody can tell."""
        if not context:  # a datastore without samples is an error before
            return "there is no sample to answer from: `where` lets none through that can be searched"
        if self.min_score is not None:
            best = max(neighbor.score for neighbor in context)
            low = best < self.min_score
            why = f"the best score is {best:.3f}, below the minimum of {self.min_score:g}"
            return f"no sample is near enough: {why}" * low
        return self.calibration.weakness(context) if self.calibration else ""


def check_margin(margin: float | None) -> None:
    """Raise an OptionError if cosines cannot be so far apart.

    Example:
      >>> check_margin(0.1)
    """
    if margin is not None and (math.isnan(margin) or margin < 0):
        raise OptionError(f"margin is {margin:g}; give 0 or more, or inf to leave out no sample")
