"""Images of every odd kind, made here; none is kept as a file."""

import io
import logging
import os
import struct
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from camml import images
from camml.errors import CaMMLError, ImageError
from camml.images import MAX_PIXELS, _shapes, check_image, each_image, mean_color, open_image, pad_to_square, read_url

RED, WHITE = (255, 0, 0), (255, 255, 255)
ORIENTATION = 0x0112


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def photo(width: int = 60, height: int = 40) -> Image.Image:
    """Noise, so that a file of it has something to lose."""
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_any_mode_becomes_rgb(mode: str) -> None:
    image = open_image(Image.new(mode, (5, 4)))
    assert (image.mode, image.size) == ("RGB", (5, 4))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "PPM"])
def test_content_decides_not_the_extension(format: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.txt"
    path.write_bytes(encoded(Image.new("RGB", (30, 20), RED), format))
    image = open_image(path)
    assert (image.mode, image.size) == ("RGB", (30, 20))
    assert np.abs(np.asarray(image, int) - RED).max() <= 3


def test_path_string_bytes_and_image_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    photo().save(path)
    images = [open_image(source) for source in (path, str(path), path.read_bytes(), photo())]
    assert all(image.tobytes() == photo().tobytes() for image in images)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_the_camera_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (4, 2))
    upright.putpixel((0, 0), RED)
    transpose = Image.Transpose
    to_stored = [  # the inverse of what the tag asks for
        None, transpose.FLIP_LEFT_RIGHT, transpose.ROTATE_180, transpose.FLIP_TOP_BOTTOM, transpose.TRANSPOSE,
        transpose.ROTATE_90, transpose.TRANSVERSE, transpose.ROTATE_270,
    ][orientation - 1]  # fmt: skip
    stored = upright if to_stored is None else upright.transpose(to_stored)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = open_image(encoded(stored, exif=exif))
    assert image.size == (4, 2)
    assert image.tobytes() == upright.tobytes()


def test_damaged_camera_notes_do_not_cost_the_picture() -> None:
    assert open_image(encoded(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).size == (60, 40)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.array([[0, 128 * 257, 65535, 1000]], np.uint16)
    data = encoded(Image.fromarray(values))
    assert [pixel[0] for pixel in np.asarray(open_image(data))[0]] == [0, 128, 255, 4]


def test_sixteen_bit_colour_is_scaled() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixel = b"\0" + struct.pack(">HHH", 65535, 32896, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixel)) + chunk(b"IEND", b"")
    assert open_image(data).getpixel((0, 0)) == (255, 128, 0)


@pytest.mark.parametrize(
    ("values", "expected"), [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 100.0, 255.0], [0, 100, 255])]
)
def test_real_numbers_are_shares_or_levels(values: list[float], expected: list[int]) -> None:
    image = open_image(encoded(Image.fromarray(np.array([values], np.float32)), "TIFF"))
    assert list(np.asarray(image)[0, :, 0]) == expected


def test_inks_become_light() -> None:
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert np.abs(np.asarray(open_image(data), int) - RED).max() <= 3


def test_threads_do_not_disturb_each_other() -> None:
    data = encoded(photo(), "JPEG")
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(open_image, [data] * 64))
    assert {image.tobytes() for image in images} == {images[0].tobytes()}


def test_transparency_becomes_white() -> None:
    image = Image.new("RGBA", (2, 1), (*RED, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    for data in (encoded(image), encoded(image.quantize(4), "PNG")):
        opened = open_image(data)
        assert [opened.getpixel((x, 0)) for x in (0, 1)] == [RED, WHITE]
    grey = encoded(Image.new("L", (1, 1), 7), transparency=7)
    assert open_image(grey).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken_with_a_notice(format: str, caplog: pytest.LogCaptureFixture) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    with caplog.at_level(logging.WARNING, logger="camml"):
        image = open_image(data)
    assert np.abs(np.asarray(image, int) - RED).max() <= 3
    assert "only the first is used" in caplog.text


def test_a_still_picture_gives_no_notice(caplog: pytest.LogCaptureFixture) -> None:
    for format in ("GIF", "WEBP", "PNG", "TIFF", "JPEG"):
        open_image(encoded(photo(), format))
    assert not caplog.records


def test_a_photo_of_fifty_megapixels_is_read(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    Image.new("RGB", (8660, 5774), RED).save(path, quality=30)
    image = open_image(path, max_side=448)
    assert max(image.size) == 448
    assert abs(image.width / image.height - 8660 / 5774) < 0.01
    assert open_image(path).size == (8660, 5774)


def test_max_side_shrinks_and_never_enlarges() -> None:
    assert open_image(encoded(photo(60, 40)), max_side=30).size == (30, 20)
    assert open_image(encoded(photo(60, 40)), max_side=600).size == (60, 40)
    own = photo(60, 40)
    open_image(own, max_side=30)
    assert own.size == (60, 40)


@pytest.mark.parametrize(
    ("width", "height"), [(8001, 8000), (10_000, 10_000), (50_000, 50_000), (2**31 - 1, 2**31 - 1)]
)
def test_a_bomb_is_refused_from_its_header(width: int, height: int) -> None:
    assert width * height > MAX_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="more than 64 million pixels; shrink it"):
            open_image(png_header(width, height))


def test_reading_in_threads_leaves_the_warnings_of_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`catch_warnings` in each of several threads mixes up the filters of all, and swallows what others warn of."""
    data, old = encoded(photo()), warnings.showwarning
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow warns of each of these images
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        open_image(data)
        before = list(warnings.filters)

        def hook(message: Warning, category: type[Warning], *_: object, **__: object) -> None:
            if category is not ResourceWarning:  # of what an earlier test left open
                told.append(str(message))

        monkeypatch.setattr(warnings, "showwarning", hook)
        with ThreadPoolExecutor(8) as pool:
            reading = [pool.submit(open_image, data) for _ in range(200)]
            for number in range(200):
                warnings.warn(f"{number}", UserWarning, stacklevel=1)
                warnings.warn_explicit("ours", UserWarning, "file", number, module="PIL.Image")
            assert {future.result().size for future in reading} == {photo().size}
        assert warnings.filters == before
        assert len(told) == 400
        with pytest.warns(Image.DecompressionBombWarning):
            Image.open(io.BytesIO(data))
    monkeypatch.undo()
    assert warnings.showwarning is old


@pytest.mark.parametrize("action", ["error", "default"])
def test_pillow_warns_of_nothing_whatever_the_filters(monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    data = encoded(photo())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", photo().width * photo().height - 1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter(action)
        assert open_image(data).size == photo().size
        assert len(each_image(open_image, [data] * 6)) == 6
    assert [warning for warning in told if warning.category is not ResourceWarning] == []  # of an earlier test


def test_a_gif_whose_frame_is_a_bomb_is_refused() -> None:
    data = bytearray(encoded(Image.new("P", (4, 4)), "GIF"))
    frame = data.index(b",\0\0\0\0")
    data[frame + 5 : frame + 9] = struct.pack("<HH", 65535, 65535)
    with pytest.raises(ImageError, match=r"million pixels|damaged"):
        open_image(bytes(data))


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    data = {
        "empty": (b"", "is empty"),
        "words": (b"no picture at all", "is not an image"),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not an image"),
        "png cut short": (encoded(photo())[:-3000], "cut short"),
        "jpeg cut short": (encoded(photo(), "JPEG")[:600], "cut short"),
        "webp cut short": (encoded(photo(), "WEBP")[:300], "cut short|not an image"),
        "tiff cut short": (encoded(photo(), "TIFF")[:900], "cut short|not an image"),
        "bmp cut short": (encoded(photo(), "BMP")[:900], "cut short"),
        "damaged": (encoded(photo()).replace(b"IDAT", b"IDAX"), "damaged|not an image"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n%%EndComments\n", "is not an image"),
    }
    for name, (content, _) in data.items():
        (folder / name).write_bytes(content)
    files = {name: (folder / name, expected) for name, (_, expected) in data.items()}
    (folder / "folder").mkdir()
    files["folder"] = (folder / "folder", "is a folder")
    files["missing"] = (folder / "nowhere.png", "no such image")
    files["inside a file"] = (folder / "words" / "x.png", "no such image|cannot be read")
    files["long name"] = (folder / ("x" * 300), "cannot be read")
    os.mkfifo(folder / "pipe")
    files["pipe"] = (folder / "pipe", "not a regular file")
    return files


def test_each_broken_file_is_named_with_its_trouble(tmp_path: Path) -> None:
    for name, (path, expected) in broken_files(tmp_path).items():
        for use in (open_image, check_image):
            with pytest.raises(ImageError, match=expected) as caught:
                use(path)
            assert str(path) in str(caught.value), name
            assert "\n" not in str(caught.value), name


def test_broken_sources_in_memory() -> None:
    for source, expected in ((b"", "is empty"), (b"abc", "is not an image"), ("a\0b", r"'a\\x00b': no such image")):
        with pytest.raises(ImageError, match=expected):
            open_image(source)
    with pytest.raises(ImageError, match="has no pixels"):
        open_image(Image.new("RGB", (0, 5)))


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000"]), st.data())
def test_damage_anywhere_gives_an_image_or_our_error(format: str, data: st.DataObject) -> None:
    content = bytearray(encoded(photo(16, 12), format))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        result = open_image(bytes(content)).mode
    except CaMMLError as error:
        result = str(error)
    assert "\n" not in result


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_give_our_error(content: bytes) -> None:
    with pytest.raises(ImageError):
        open_image(content)


@pytest.mark.parametrize(
    ("size", "corner"), [((5, 2), (0, 1)), ((2, 5), (1, 0)), ((5, 4), (0, 0)), ((6, 2), (0, 2)), ((3, 3), (0, 0))]
)
def test_padding_puts_the_image_in_the_middle(size: tuple[int, int], corner: tuple[int, int]) -> None:
    padded = pad_to_square(Image.new("RGB", size, RED), (1, 2, 3))
    assert padded.size == (max(size), max(size))
    expected = Image.new("RGB", padded.size, (1, 2, 3))
    expected.paste(RED, (*corner, corner[0] + size[0], corner[1] + size[1]))
    assert padded.tobytes() == expected.tobytes()


def test_a_strip_is_not_padded_to_a_bomb() -> None:
    assert pad_to_square(Image.new("L", (60_000, 2)), (0,)).size == (_shapes.STRIP, _shapes.STRIP)
    tall = pad_to_square(Image.new("L", (800, 20_000), 255), (0,))
    assert tall.size == (_shapes.STRIP, _shapes.STRIP)
    assert tall.getbbox() == (1966, 0, 1966 + 164, _shapes.STRIP)
    assert pad_to_square(Image.new("L", (8660, 5774)), (0,)).size == (8660, 8660)


def test_the_mean_is_cut_not_rounded() -> None:
    assert mean_color((0.48145466, 0.4578275, 0.40821073)) == (122, 116, 104)


@pytest.mark.long
@pytest.mark.parametrize("checkpoint", ["camml_linear", "camml_mlp2x"])
def test_pixels_are_those_of_the_official_code(golden: Path, checkpoint: str) -> None:
    from safetensors.numpy import load_file
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder = golden / checkpoint
    processor = CLIPImageProcessorPil.from_pretrained(folder / "vision_tower")
    color = mean_color(processor.image_mean)
    images = [pad_to_square(open_image(path), color) for path in sorted((folder / "images").iterdir())]
    pixels = processor(images, return_tensors="np")["pixel_values"]
    expected = load_file(folder / "expected.safetensors")["pixel_values"]
    assert np.abs(pixels - expected).max() < 1e-6


class Handler(BaseHTTPRequestHandler):
    """A small site with one good picture."""

    def do_GET(self) -> None:
        if self.path.startswith("/go?"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
            return
        if self.path == "/slow.png":
            self.send_response(200)
            self.end_headers()
            for _ in range(300):
                self.wfile.write(b"x")
                time.sleep(0.1)
            return
        if self.path == "/silent.png":
            time.sleep(30)
            return
        content = {"/red.png": encoded(Image.new("RGB", (3, 2), RED)), "/big.png": b"x" * 5000, "/empty.png": b""}
        content["/gro%C3%9Fe%20Bilder%20/%E6%9D%B1.png"] = content["/red.png"]
        body = content.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_address_is_downloaded(site: str) -> None:
    assert open_image(f"{site}/red.png").getpixel((0, 0)) == RED
    assert open_image(f"{site}/go?/red.png").size == (3, 2)


def test_an_address_may_have_blanks_and_letters_of_every_script(site: str) -> None:
    assert open_image(f"{site}/große Bilder%20/東.png#oben links").size == (3, 2)


def test_a_bad_address_is_named_with_its_trouble(site: str, silent: str, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(photo()))
    for url, expected in (
        (f"{site}/gone.png", "answers 404"),
        (f"{site}/empty.png", "is empty"),
        (f"{site}/big.png", "is not an image"),
        (f"{site}/go?{tmp_path.as_uri()}/secret.png", "cannot be downloaded|answers 302"),
        (f"{site}/go?/go?/go?ftp://127.0.0.1/a.png", "cannot be downloaded|answers 302"),
        (f"{silent}/a.png", "cannot be downloaded"),
        ("http://[::1/a.png", "cannot be downloaded"),
        (f"{silent}/a b.png", "cannot be downloaded"),
        (f"{tmp_path.as_uri()}/secret.png", "not an http or https address"),
        ("ftp://127.0.0.1/a.png", "not an http or https address"),
    ):
        with pytest.raises(ImageError, match=expected) as caught:
            open_image(url)
        assert url in str(caught.value)


@pytest.mark.long
def test_a_download_is_bounded_in_size_and_time(site: str) -> None:
    with pytest.raises(ImageError, match="larger than the limit"):
        read_url(f"{site}/big.png", max_bytes=1000)
    for page in ("slow", "silent"):
        start = time.monotonic()
        with pytest.raises(ImageError, match="cannot be downloaded"):
            read_url(f"{site}/{page}.png", timeout=0.5)
        assert time.monotonic() - start < 15


def test_an_image_that_is_there_twice_is_not_decoded_by_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "processors", lambda: 4)
    content = encoded(Image.new("RGB", (40, 30), "red"))
    shown, other = Image.open(io.BytesIO(content)), Image.open(io.BytesIO(content))
    at_work: list[int] = []

    def work(image: Image.Image) -> tuple[int, int]:
        assert id(image) not in at_work
        at_work.append(id(image))
        time.sleep(0.02)
        at_work.remove(id(image))
        return open_image(image).size

    assert images.each_image(work, [shown, shown, other, shown]) == 4 * [(40, 30)]


@pytest.mark.parametrize("count", [1, 3, 64])
def test_each_image_is_worked_on_in_order_and_errors_come_through(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "processors", lambda: count)
    running, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1
        if number == 99:
            raise ImageError("no image")
        return 2 * number

    assert images.each_image(work, list(range(40))) == [2 * number for number in range(40)]
    assert (most > 1) is (count > 1)
    assert most <= min(count, images.AT_ONCE)
    assert images.each_image(work, []) == []
    with pytest.raises(ImageError, match="no image"):
        images.each_image(work, [1, 99, 2])
