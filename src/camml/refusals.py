"""Answers that say that the samples do not tell."""

import re

from camml.words import telling_words

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
    return bool(_refusing(_bare(first_line(answer))))


def begins_refusal(answer: str) -> bool:
    """Return whether an answer is the beginning of `REFUSAL`, as one is that was cut off.

    Example:
      >>> begins_refusal("not in"), begins_refusal("no")
      (True, False)
    """
    bare = _bare(answer)
    return bare.startswith("not") and REFUSAL.startswith(bare)


def stands_in(answer: str, passage: str) -> bool:
    """Return whether a passage says itself what makes an answer read as a refusal, with all that the answer tells.

    Example:
      >>> stands_in("none", "Allergies: none."), stands_in("The price is unknown.", "Next date: unknown.")
      (True, False)
    """
    bare, text = _bare(first_line(answer)), _bare(passage)
    words = _refusing(bare) or bare
    if words == REFUSAL or not words:
        return False
    return f" {words} " in f" {text} " and set(telling_words(bare)) <= set(telling_words(text))


def _refusing(bare: str) -> str:
    """Return the words of a bare text that say that the samples do not tell; empty where there are none."""
    if bare in _NOTHING:
        return bare
    match = _UNTOLD.search(bare)
    return match[0] if match else ""


def _bare(text: str) -> str:
    """Return a text in lower case without punctuation, "n't" as "not"."""
    plain = text.lower().replace("’", "'").replace("n't", " not").replace("'", "")
    return " ".join(re.sub(r"\W+", " ", plain).split())


def first_line(answer: str) -> str:
    """Return the first line of an answer, which is the answer proper."""
    return next(iter(answer.strip().splitlines()), "")
