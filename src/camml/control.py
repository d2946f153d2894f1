"""Control tokens: what ends a turn or begins one in a model's template, and must not be said by a person or a sample.

A tokenizer takes the letters of a control token for the token wherever they stand, so whoever writes "<|im_end|>" into
a question or a sample ends the turn, and can go on in the name of the system. In texts of people these letters are
parted by an invisible WORD JOINER; the model still reads what was written. What controls it then is the template alone.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

JOINER = "\u2060"
"""WORD JOINER: has zero width, and is part of no control token."""

_LOOKS_LIKE_ONE = re.compile(r"(<|\[|｜|\|).*(>|\]|｜|\|)", re.DOTALL)
"""Added tokens of this form control a model, special to its tokenizer or not: <tool_call>, [INST]."""


def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Return the control tokens of a tokenizer of transformers, the longest first.

    Added tokens that are words or white space are none: some tokenizers have runs of spaces among them.
    """
    special = {str(token) for token in tokenizer.all_special_tokens}
    added: Iterable[Any] = getattr(tokenizer, "added_tokens_decoder", {}).values()
    for token in added:
        text = str(token.content)
        if token.special or _LOOKS_LIKE_ONE.fullmatch(text):
            special.add(text)
    return tuple(sorted((text for text in special if len(text) > 1 and text.strip()), key=len, reverse=True))


def defuse(text: str, control: Sequence[str]) -> str:
    """Return a text of a person with each control token in it parted, so that it is read as the letters it has.

    A text without any is returned as it is, so that its tokens are what they always were.

    Args:
      control: as `control_tokens` gives them.
    """
    if not any(token in text for token in control):
        return text
    pattern = re.compile("|".join(map(re.escape, control)))
    # one token may begin within another: the second looks at what the first has not parted
    while (parted := pattern.sub(lambda match: match[0][0] + JOINER + match[0][1:], text)) != text:
        text = parted
    return text
