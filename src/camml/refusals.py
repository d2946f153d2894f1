"""Answers that say that the samples do not tell."""

import re

REFUSAL = "not in the samples"
"""The right answer where no sample says what is asked."""

_TELLS = "stated|said|told|given|mentioned|specified|provided|known|recorded|included|listed|indicated"
_TELL = "say|state|tell|mention|specify|provide|include|contain|know|give"
_FIND = "answer|answered|tell|told|say|determine|determined|find"
_UNTOLD = re.compile(
    r"\bnot (?:in|among|part of) (?:the|these|any|my) (?:samples?|texts?|context|information|data|records?)\b"
    rf"|\bnot (?:\w+ )?(?:{_TELLS})\b"
    rf"|\b(?:do|does|did) not (?:\w+ )?(?:{_TELL})\b"
    r"|\bno (?:\w+ )?(?:information|mention|answer|data)\b"
    rf"|\b(?:cannot|can not|ca not|could not|unable to)(?: be)? (?:{_FIND})\b"
)
_NOTHING = frozenset({"unknown", "none", "n a", "no answer", "unanswerable", "not available"})


def refuses(answer: str) -> bool:
    """Return whether an answer's first line says that the samples do not tell, in whatever words."""
    line = first_line(answer).lower().replace("’", "'").replace("n't", " not").replace("'", "")
    bare = " ".join(re.sub(r"\W+", " ", line).split())
    return bare in _NOTHING or bool(_UNTOLD.search(bare))


def first_line(answer: str) -> str:
    """Return the first line of an answer, which is the answer proper."""
    return next(iter(answer.strip().splitlines()), "")
