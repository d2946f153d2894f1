"""The words of a text that say something."""

import math
import re
from collections.abc import Mapping

STOP_WORDS = frozenset(
    """a an and are as at be but by can could did do does for from had has have he her his how i if in is it its me
    my no not of on one or our she so some than that the their them then there these they this those to too was we were
    what when where which who why will with would yes you your""".split()  # noqa: SIM905
)
"""Words that any text has. `features.passages.STOP` is another list: words of questions, by which passages are chosen
and its settings were measured. To merge the two would change what is read and what is calibrated."""
_CODE = re.compile(r"[^\W_]+(?:[-./][^\W_]+)*")


def telling_words(text: str) -> list[str]:
    """Return the words of a text that say something, in their order and in lower case; a number is one word.

    Example:
      >>> telling_words("It weighs 1,200 kg.")
      ['weighs', '1,200', 'kg']
    """
    words = re.findall(r"\d+(?:[.,:]\d+)*|\w+", text.lower())
    return [word for word in words if word not in STOP_WORDS]


def identifiers(text: str) -> frozenset[str]:
    """Return the numbers and codes in a text, in lower case: words in which a digit stands.

    Vectors of texts hardly tell them apart, though a person who writes one means that and no other.

    Example:
      >>> sorted(identifiers("What does pump 9 of order K-4821/b cost?"))
      ['9', 'k-4821/b']
    """
    return frozenset(word for word in _CODE.findall(text.lower()) if any(map(str.isdigit, word)))


def identifier_pattern(identifier: str) -> str:
    """Return a regular expression of RE2, to be used whatever the case, that finds the texts with an identifier.

    They are those whose `identifiers` hold it: `9` is in `pump 9.`, neither in `9.5` nor in `K-9`.
    """
    before = r"(?:^|[^\pL\pN./-]|(?:^|[^\pL\pN])[./-])"  # a stop or hyphen joins two words, not a word and a blank
    after = r"(?:$|[^\pL\pN./-]|[./-](?:$|[^\pL\pN]))"
    return before + re.escape(identifier) + after


def rarity(texts_with: int, texts: int) -> float:
    """Return how much a word tells that stands in so many of some texts: 1 where it is in one of them, near 0 where it
    is in all.

    Example:
      >>> [round(rarity(number, 100), 2) for number in (1, 10, 100)]
      [1.0, 0.54, 0.0]
    """
    return math.log((texts + 1) / (texts_with + 0.5)) / math.log((texts + 1) / 1.5)


def share_named(text: str, rarities: Mapping[str, float]) -> float:
    """Return how much of a question's identifiers a text holds, 0 to 1: the mean rarity, 0 for those it lacks.

    Args:
      rarities: of each identifier of the question that stands in any text; at least one.
    """
    return sum(rarities[word] for word in identifiers(text) & rarities.keys()) / len(rarities)
