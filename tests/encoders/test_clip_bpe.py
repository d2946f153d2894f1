"""CLIP's tokenizer."""

from pathlib import Path

import pytest

from camml import weights
from camml.encoders._clip_bpe import MERGES, ClipTokenizer, byte_letters, clean
from camml.errors import ModelFolderError


def tokenizer_of(*pairs: str) -> ClipTokenizer:
    """A tokenizer with these merges first and others, of no letters, after them."""
    merges = [*pairs, *(f"\t{number} \t" for number in range(MERGES - len(pairs)))]
    return ClipTokenizer([(first, second) for first, second in (pair.split(" ") for pair in merges)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Two\n\tWords ", "two words"),
        ("a &amp;lt; b &lt;html&gt;", "a < b <html>"),
        ("it’s “so”", 'it\'s "so"'),
        ("cafe\u0301", "café"),
    ],
)
def test_texts_are_cleaned(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_every_byte_has_a_letter_of_its_own() -> None:
    letters = byte_letters()
    assert sorted(letters) == list(range(256))
    assert len(set(letters.values())) == 256
    assert letters[ord("a")] == "a"
    assert letters[ord(" ")] == "Ġ"


def test_earlier_merges_go_first() -> None:
    tokenizer = tokenizer_of("b c", "a b", "a bc</w>", "b c</w>")
    first = 512
    assert tokenizer.encode("abcd") == [ord("a") - 33, first, 256 + ord("d") - 33]
    assert tokenizer.encode("abc") == [first + 1, 256 + ord("c") - 33]
    assert tokenizer.encode("abab") == [first + 1, ord("a") - 33, 256 + ord("b") - 33]


def test_digits_and_signs_stand_alone() -> None:
    tokenizer = tokenizer_of()
    assert len(tokenizer.encode("12")) == 2
    assert len(tokenizer.encode("!!")) == 2
    assert tokenizer.encode("1 2") == tokenizer.encode("12")


def test_marks_in_a_text_stand_for_themselves() -> None:
    assert tokenizer_of().encode("<|endoftext|>") == [49407]


def test_rows_have_77_tokens_and_keep_the_end_mark() -> None:
    rows = tokenizer_of()(["a", "", "a " * 200])
    assert rows.shape == (3, 77)
    end = 256 + ord("a") - 33
    assert rows[0].tolist() == [49406, end, 49407] + [0] * 74
    assert rows[1].tolist() == [49406, 49407] + [0] * 75
    assert rows[2].tolist() == [49406] + [end] * 75 + [49407]


@pytest.mark.parametrize("content", [b"", b"#version\na b\n", b"\xff\xfe\x00", b"#version\nno-pair\n"])
def test_another_file_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "merges.txt").write_bytes(content)
    with pytest.raises(ModelFolderError, match=r"merges\.txt"):
        ClipTokenizer.read(tmp_path / "merges.txt")


@pytest.mark.weights
@pytest.mark.timeout(600)  # the weights may have to be fetched first
def test_the_real_merges_give_the_tokens_of_clip() -> None:
    tokenizer = ClipTokenizer.read(weights.folder("clip-bpe") / "merges.txt")
    assert tokenizer.encode("a photo of a cat") == [320, 1125, 539, 320, 2368]
    assert tokenizer.encode("A DOG.") == [320, 1929, 269]
