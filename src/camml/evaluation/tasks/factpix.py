"""FactPix: knowledge questions about pictures; held-out classes."""

from camml.evaluation.facts import split

TASK = split("FactPix", "heldout")
