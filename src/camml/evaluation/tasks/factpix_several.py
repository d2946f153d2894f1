"""FactPix: questions about several prints of a picture, which no single sample answers."""

from camml.evaluation.facts import split

TASK = split("FactPix, several samples", "several")
