"""The page: plain files that talk to the API of the same server, and the few things only the page needs.

It is written by hand in HTML, CSS and ES modules, without a framework or a build step: nothing is loaded from
elsewhere, so it works offline and under a strict content security policy, and only a browser can outdate it.
"""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from camml.boxes import in_pixels, read_box
from camml.errors import FetchError, OptionError
from camml.serving.bodies import CheckedRoute
from camml.serving.drawing import LONGEST_PROMPT, DrawingApi
from camml.serving.examples import read_examples
from camml.serving.gate import Gate
from camml.serving.messages import NoTruth
from camml.serving.problems import ApiError
from camml.serving.service import Service

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: its own scripts and styles, and pictures it holds in memory."""

CONVENTIONS = ("normalised", "padded")
"""The frames of boxes that the page draws; see `camml.boxes.FRAMES`."""

MOST_DRAWINGS = 4
"""Pictures that are being drawn at a time; each may take a minute, and most cost money."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the page; `tag` tells its versions apart."""

    content: bytes
    kind: str
    tag: str


class BoxRequest(BaseModel):
    """An answer that may hold a box, and the size of its picture in pixels."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=100_000)
    width: Annotated[int, Field(ge=1, le=100_000), NoTruth]
    height: Annotated[int, Field(ge=1, le=100_000), NoTruth]


class Prompt(BaseModel):
    """A description of what is to be drawn."""

    model_config = ConfigDict(extra="forbid")
    prompt: str = Field(min_length=1, max_length=LONGEST_PROMPT)


def router(service: Service) -> APIRouter:
    """Return the page at `/`, its files under `/page/`, and what needs a key, if any, under `/v1/page/`."""
    router = APIRouter(route_class=CheckedRoute, include_in_schema=False)
    _add_files(router)
    drawings = Gate(MOST_DRAWINGS, "drawings")
    examples = read_examples(service.settings.examples) if service.settings.examples else []

    @router.get("/v1/page/setup")
    def setup() -> dict[str, Any]:
        """Return what the page has to know before the first question."""
        return {
            "model": service.settings.served_name,
            "default_shots": service.engine.default_shots,
            "examples": examples,
            "drawing": _drawing(),
        }

    @router.post("/v1/page/box")
    def box(request: BoxRequest) -> dict[str, tuple[float, ...] | None]:
        """Return the first box of an answer, and where on the picture it lies in pixels, by convention."""
        box = read_box(request.text)
        if box is None:
            return {"box": None}
        placed = {frame: in_pixels(box, frame, request.width, request.height) for frame in CONVENTIONS}
        return {name: astuple(box) for name, box in ({"box": box} | placed).items()}

    @router.post("/v1/page/drawing")
    async def drawing(prompt: Prompt) -> Response:
        """Return the picture of a prompt, as a PNG."""
        with drawings.enter():
            try:
                picture = await run_in_threadpool(DrawingApi.of_environment().draw, prompt.prompt)
            except FetchError as error:  # the other server's fault, and only this one knows the reason
                raise ApiError(502, str(error), "drawing_failed") from None
        return Response(picture, media_type="image/png")

    return router


def _add_files(router: APIRouter) -> None:
    known = read_files()

    @router.get("/")
    def index(request: Request) -> Response:
        return _serve(known["index.html"], request)

    @router.get("/page/{name}")
    def file(name: str, request: Request) -> Response:
        if name not in known:
            raise ApiError(404, f"the page has no file {name!r}", "not_found")
        return _serve(known[name], request)


def read_files() -> Mapping[str, File]:
    """Return the files of the page by name."""
    pages: dict[str, tuple[str, bytes]] = {}
    for entry in resources.files("camml.serving").joinpath("page").iterdir():
        content = entry.read_bytes()
        pages[entry.name] = (mimetypes.guess_type(entry.name)[0] or "application/octet-stream", content)
    preloads = "".join(
        f'  <link rel="modulepreload" href="page/{name}">\n' for name in sorted(pages) if name.endswith(".js")
    )
    kind, page = pages["index.html"]
    # without these a browser would learn of each module only from the one before it
    pages["index.html"] = (kind, page.replace(b"</head>", preloads.encode() + b"</head>"))
    return {
        name: File(content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
        for name, (kind, content) in pages.items()
    }


def _serve(file: File, request: Request) -> Response:
    """Return the file, or that it has not changed."""
    headers = {"ETag": file.tag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff",
               "Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}  # fmt: skip
    if file.tag in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.kind, headers=headers)


def _drawing() -> dict[str, Any]:
    """Return the model that draws, or what is missing for one."""
    try:
        return {"model": DrawingApi.of_environment().model, "longest": LONGEST_PROMPT}
    except OptionError as error:
        return {"missing": str(error), "longest": LONGEST_PROMPT}
