"""OwnPix: questions about things of an invented collection; facts that no text tells."""

from camml.evaluation.owned import split

TASK = split("OwnPix, questions without an answer", "unanswerable")
