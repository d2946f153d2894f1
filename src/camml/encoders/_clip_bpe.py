"""CLIP's tokenizer: byte-pair encoding of lower-case text, 77 tokens with the two marks (arXiv 2103.00020, 2.4)."""

import gzip
import html
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camml.errors import ModelFolderError
from camml.weights.clip_bpe import MERGES

CONTEXT_LENGTH = 77
VOCABULARY = 49408
END_OF_WORD = "</w>"
MARKS = ("<|startoftext|>", "<|endoftext|>")
BEGIN, END = VOCABULARY - 2, VOCABULARY - 1
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
"""Contractions, runs of letters, single digits, runs of anything else; the two marks in a text stand for themselves."""

STRAIGHT_QUOTES = str.maketrans(dict.fromkeys("‘’‚‛ʼ", "'") | dict.fromkeys("“”„‟", '"'))

Pair = tuple[str, str]


class ClipTokenizer:
    """Texts to int64[N, 77]: begin, at most 75 tokens, end, then zeros."""

    def __init__(self, merges: Sequence[Pair]) -> None:
        import regex

        letters = list(byte_letters().values())
        words = [*letters, *(letter + END_OF_WORD for letter in letters), *(first + second for first, second in merges)]
        self._ids = {word: index for index, word in enumerate([*words, *MARKS])}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._words = regex.compile(WORDS, regex.IGNORECASE)
        self._split = lru_cache(maxsize=65536)(self._split_word)

    @classmethod
    def read(cls, path: Path) -> "ClipTokenizer":
        """Read the tokenizer from a merges file: `merges.txt`, or the longer `bpe_simple_vocab_16e6.txt.gz`.

        Raises:
          ModelFolderError: it is not one of these.
        """
        opener = gzip.open if path.suffix == ".gz" else open
        try:
            with opener(path, "rt", encoding="utf-8") as file:
                lines = file.read().splitlines()[1 : MERGES + 1]
            merges = [(first, second) for first, second in (line.split(" ") for line in lines)]
        except (OSError, ValueError) as error:
            raise ModelFolderError(f"{path} is not a list of CLIP's byte-pair merges: {error}") from error
        if len(merges) != MERGES:
            raise ModelFolderError(f"{path} holds {len(merges)} byte-pair merges where CLIP has {MERGES}")
        return cls(merges)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokenize texts to int64[N, 77]; a text that is too long is cut before its end mark."""
        tokens = np.zeros((len(texts), CONTEXT_LENGTH), np.int64)
        for row, text in zip(tokens, texts, strict=True):
            ids = [BEGIN, *self.encode(text)[: CONTEXT_LENGTH - 2], END]
            row[: len(ids)] = ids
        return tokens

    def encode(self, text: str) -> list[int]:
        """Return all tokens of a text, without the start and end marks."""
        letters = byte_letters()
        words = self._words.findall(clean(text))
        return [token for word in words for token in self._split("".join(letters[byte] for byte in word.encode()))]

    def _split_word(self, word: str) -> list[int]:
        """Split one word, whose bytes are written as letters, into tokens."""
        if word in MARKS:
            return [self._ids[word]]
        parts = [*word[:-1], word[-1] + END_OF_WORD]
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self._ranks.get(pair, MERGES))
            if best not in self._ranks:
                break
            parts = list(_merge(parts, best))
        return [self._ids[part] for part in parts]


def _merge(parts: Sequence[str], pair: Pair) -> Iterator[str]:
    """Yield `parts` with every occurrence of `pair`, from the left, merged into one."""
    index = 0
    while index < len(parts):
        if tuple(parts[index : index + 2]) == pair:
            yield "".join(pair)
            index += 2
        else:
            yield parts[index]
            index += 1


def clean(text: str) -> str:
    """Lower-case text, with single spaces, HTML entities resolved (twice, as found on the web), quotes straight.

    The official code also repairs text that was decoded with the wrong character set; that is left out here, ours.
    """
    text = unicodedata.normalize("NFC", text).translate(STRAIGHT_QUOTES)
    return " ".join(html.unescape(html.unescape(text)).split()).lower()


@lru_cache(maxsize=1)
def byte_letters() -> dict[int, str]:
    """Map each byte to a printable letter: itself where printable, else one from 256 on. Source: GPT-2's encoder."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}
