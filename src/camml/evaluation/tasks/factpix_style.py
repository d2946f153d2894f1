"""FactPix: knowledge questions about pictures; held-out classes in drawing styles that occur nowhere else."""

from camml.evaluation.facts import split

TASK = split("FactPix style", "style")
