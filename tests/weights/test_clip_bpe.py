"""The merges in use are cut out of the published list."""

import gzip
from pathlib import Path

from camml.weights import clip_bpe


def test_header_and_merges_in_use_are_kept(tmp_path: Path) -> None:
    (tmp_path / "open_clip").mkdir()
    lines = ["a header of its own", *(f"a{index} b" for index in range(clip_bpe.MERGES + 1000))]
    with gzip.open(tmp_path / "open_clip" / "bpe_simple_vocab_16e6.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    clip_bpe.convert(tmp_path, tmp_path)
    kept = (tmp_path / "merges.txt").read_text().splitlines()
    assert kept[0].startswith("#version")
    assert kept[1:] == lines[1 : 48894 + 1]
