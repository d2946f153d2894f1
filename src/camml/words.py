"""The words of a text that say something."""

import re

EMPTY = frozenset(
    """a an and are as at be but by can could did do does for from had has have he her his how i if in is it its me
    my no not of on one or our she so some than that the their them then there these they this those to too was we were
    what when where which who why will with would yes you your""".split()  # noqa: SIM905
)
"""Words that any text has."""


def telling_words(text: str) -> list[str]:
    """Return the words of a text that say something, in their order and in lower case; a number is one word.

    Example:
      >>> telling_words("It weighs 1,200 kg.")
      ['weighs', '1,200', 'kg']
    """
    words = re.findall(r"\d+(?:[.,:]\d+)*|\w+", text.lower())
    return [word for word in words if word not in EMPTY]
