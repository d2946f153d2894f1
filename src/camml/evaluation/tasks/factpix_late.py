"""FactPix: knowledge questions about pictures; invented facts, which only samples added afterwards hold."""

from camml.evaluation.facts import split

TASK = split("FactPix late knowledge", "late")
