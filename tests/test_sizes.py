"""Amounts of memory mean the same in every command: GB is 10^9 bytes, GiB 2^30."""

import pytest

from camml.errors import OptionError
from camml.sizes import size_in_words, size_of


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000), ("1KB", 1000), ("10kb", 10**4), ("4GB", 4 * 10**9), (" 1.5 gb ", 15 * 10**8),
        ("1.5g", 15 * 10**8), ("512 MiB", 512 * 2**20), ("2TiB", 2 << 40), (7, 7), ("1B", 1),
    ],
)  # fmt: skip
def test_amounts(text: str | int, size: int) -> None:
    assert size_of(text) == size
    assert size_of(size_in_words(size)) == pytest.approx(size, rel=0.01)


@pytest.mark.parametrize("text", ["", "four", "-1GB", "0", "0.4B", "1 XB", "1e400", "9" * 400])
def test_what_is_none_is_an_error_that_names_the_option(text: str) -> None:
    with pytest.raises(OptionError, match=r"--ram .* is not an amount of memory"):
        size_of(text, "--ram")


def test_in_words() -> None:
    sizes = (7, 999, 1500, 18.6e9, 3e12)
    assert [size_in_words(size) for size in sizes] == ["7 B", "999 B", "1.5 kB", "18.6 GB", "3 TB"]
