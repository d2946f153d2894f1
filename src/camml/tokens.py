"""Tokens that a client sends in place of a text, turned back into the text."""

from collections.abc import Sequence
from typing import Any

from camml.errors import InputError

REMEDY = "send texts (LangChain does with check_embedding_ctx_length=False)"


def text_of(tokenizer: Any, tokens: Sequence[int]) -> str:
    """Return the text that tokens of a tokenizer of transformers stand for; its special tokens are left out.

    Numbers of another tokenizer stand for words too, only for others: so the text must have the same tokens again.

    Raises:
      InputError: they are not what this tokenizer makes of a text.
    """
    if any(not 0 <= token < len(tokenizer) for token in tokens):
        raise InputError(f"{max(tokens, key=abs)} is not a token here, there are {len(tokenizer)}; {REMEDY}")
    special = set(tokenizer.all_special_ids)
    said = [token for token in tokens if token not in special]
    text = str(tokenizer.decode(said, clean_up_tokenization_spaces=False))
    if tokenizer(text, add_special_tokens=False)["input_ids"] != said:
        raise InputError(f"these are not the tokens that this model's own tokenizer makes of a text; {REMEDY}")
    return text
