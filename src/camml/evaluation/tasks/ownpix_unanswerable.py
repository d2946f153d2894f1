"""OwnPix: questions about things of an invented collection; facts that no text tells."""

from camml.evaluation.facts import own_split

TASK = own_split("OwnPix, questions without an answer", "unanswerable")
