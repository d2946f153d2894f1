"""Pictures inside addresses, in the forms that programs write."""

import base64
import io
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from camml.errors import ImageError
from camml.images.data_urls import bytes_in, opened
from tests import tiny


@pytest.fixture
def png(tmp_path: Path) -> bytes:
    """The bytes of a picture."""
    return tiny.image(tmp_path, "some", (200, 30, 40)).read_bytes()


def test_every_form_of_a_data_url_is_read(png: bytes) -> None:
    text = base64.b64encode(png).decode()
    for url in (
        f"data:image/png;base64,{text}",
        f"data:;base64,{text}",
        f"DATA:IMAGE/PNG;BASE64,{text}",
        f"data:application/octet-stream;base64,{text}",
        f"data:image/*;base64,{text}",
        f"data:image/png; base64, {text}",
        f"  data:image/png;charset=utf-8;base64,{text}\n",
        f"data:image/png;name=my%20photo.png;base64,{text}",
        f'data:image/png;name="my photo.png";base64,{text}',
        f"data:image/png;base64,{quote(text, safe='')}",
        f"data:image/png;base64,{text.rstrip('=')}",
        f"data:image/png;base64,{text[:20]}\r\n{text[20:]}",
        f"data:image/png,{quote(png)}",
    ):
        assert bytes_in(url) == png, url[:60]


@pytest.mark.parametrize(
    "url",
    [
        "data:text/plain;base64,", "data:video/mp4;base64,AAAA", "data:image/png;base64", "data:",
        "data:image/png;base64,$", "data:image/png;base64,%ff", "data:image/png;base64,é", "data:text/\udc80,x",
    ],
)  # fmt: skip
def test_what_is_no_picture_in_an_address_is_refused_in_a_few_words(url: str) -> None:
    with pytest.raises(ImageError) as raised:
        bytes_in(url + "A" * 5000)
    assert len(str(raised.value)) < 200


def test_a_picture_is_opened_from_all_that_holds_one(png: bytes, tmp_path: Path) -> None:
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    for source in (
        url,
        png,
        io.BytesIO(png),
        Image.open(io.BytesIO(png)),
        tmp_path / "some.png",
        str(tmp_path / "some.png"),
    ):
        assert opened(source).tobytes() == Image.open(io.BytesIO(png)).tobytes()
    with pytest.raises(ImageError) as raised:
        opened(url.replace("image/png", "text/html"))
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("source", [np.zeros((4, 4, 3), np.uint8), 7, ["a.png"], io.StringIO("x"), {}])
def test_what_holds_no_picture_is_named_with_what_does(source: object) -> None:
    with pytest.raises(ImageError, match=r"not a picture; give a path, an address, bytes, an open file or a PIL image"):
        opened(source)  # type: ignore[arg-type]
