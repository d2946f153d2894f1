"""Tokens turned back into texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml.errors import InputError
from camml.tokens import text_of
from tests import tiny

TOKENIZER = tiny.tokenizer()


@given(st.text(max_size=40))
def test_the_text_comes_back(text: str) -> None:
    tokens = TOKENIZER.encode(text, add_special_tokens=False)
    said = text_of(TOKENIZER, [TOKENIZER.bos_token_id, *tokens])
    assert TOKENIZER.encode(said, add_special_tokens=False) == [
        token for token in tokens if token not in TOKENIZER.all_special_ids
    ]


@pytest.mark.parametrize("tokens", [[-1], [10**9], [320, 5]])
def test_what_is_no_token_is_named(tokens: list[int]) -> None:
    with pytest.raises(InputError, match=rf"{max(tokens, key=abs)} is not a token"):
        text_of(TOKENIZER, tokens)


def test_tokens_that_the_tokenizer_would_not_make_are_refused() -> None:
    apart = [TOKENIZER.encode(letter)[0] for letter in "Paris"]
    assert apart != TOKENIZER.encode("Paris")
    with pytest.raises(InputError, match="own tokenizer"):
        text_of(TOKENIZER, apart)
    with pytest.raises(InputError, match="own tokenizer"):
        text_of(TOKENIZER, TOKENIZER.encode("ü", add_special_tokens=False)[:1])
