"""FactPix: knowledge questions about pictures; the classes kept for choosing settings."""

from camml.evaluation.facts import split

TASK = split("FactPix validation", "validation")
