"""`/v1/models` and `/v1/embeddings`: what there is to ask, and the vectors that datastores are searched by."""

import base64
from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from camml.encoders import Encoder, Vectors, among_images
from camml.errors import InputError
from camml.serving.bodies import CheckedRoute
from camml.serving.problems import ApiError, about
from camml.serving.service import Service
from camml.serving.streaming import until_gone
from camml.serving.wire import EmbeddingBody, ErrorOut, ImageInput

ITEMS = 8
"""Texts or pictures that are embedded at a time."""


def router(service: Service) -> APIRouter:
    """Return the routes."""
    router = APIRouter(
        route_class=CheckedRoute, tags=["models"], responses={"4XX": {"model": ErrorOut}, "5XX": {"model": ErrorOut}}
    )
    created = int(service.started)

    def model(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": created, "owned_by": "camml"}

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        """Return the model that answers; clients offer everything in this list for a chat."""
        return {"object": "list", "data": [model(service.settings.served_name)]}

    @router.get("/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        """Return the model that answers, or an encoder of a datastore."""
        names = [service.settings.served_name, *_encoders(service)]
        if name not in names:
            raise ApiError(404, f"no model {name!r} here; there are: {', '.join(names)}", "model_not_found", "model")
        return model(name)

    @router.post("/v1/embeddings")
    async def embeddings(body: EmbeddingBody, request: Request) -> dict[str, Any]:
        """Return unit vectors of texts or pictures, from the encoder of a datastore (or the datastore's name)."""
        encoders = _encoders(service) | {name: shelf.encoder for name, shelf in service.shelves.items()}
        if body.model not in encoders:
            known = ", ".join(encoders) or "none, since there is no datastore"
            raise ApiError(404, f"no encoder {body.model!r} here; there are: {known}", "model_not_found", "model")
        given = body.input if isinstance(body.input, list) and not isinstance(body.input[0], int) else [body.input]
        # the same gate as answers: both keep the processor busy for as long as the client likes
        with service.answers.enter():
            items = await service.embed(_read, encoders[body.model], given)
            work = _embed(service, encoders[body.model], items, body.dimensions)
            vectors = await until_gone(request.receive, work)
        as_text = body.encoding_format == "base64"
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode() if as_text else vector.tolist(),
            }
            for index, vector in enumerate(vectors)
        ]
        read = await service.embed(_tokens, encoders[body.model], [item for item in items if isinstance(item, str)])
        return {"object": "list", "data": data, "model": body.model,
                "usage": {"prompt_tokens": read, "total_tokens": read}}  # fmt: skip

    return router


def _encoders(service: Service) -> dict[str, Encoder]:
    return {shelf.encoder.name: shelf.encoder for shelf in service.shelves.values()}


async def _embed(
    service: Service, encoder: Encoder, items: Sequence[str | ImageInput], dimensions: int | None
) -> list[Vectors]:
    """Return a vector for each item, in order; a few at a time, so that it can be ended, and that others have turns."""
    pictured = any(isinstance(item, ImageInput) for item in items)
    width = encoder.image_dim if pictured or encoder.joint else encoder.text_dim
    if dimensions not in (None, width):
        raise ApiError(400, f"these vectors have {width} dimensions, and no others", "invalid_value", "dimensions")
    vectors: list[Vectors] = []
    for start in range(0, len(items), ITEMS):
        some = items[start : start + ITEMS]
        texts = [item for item in some if isinstance(item, str)]
        urls = [item.image_url.url for item in some if isinstance(item, ImageInput)]
        data = await service.read(urls)
        pictures = [await service.look(service.pictures.decode, data[url]) for url in urls]
        of_texts = iter(await service.embed(partial(_compared, encoder), texts) if texts else ())
        of_pictures = iter(await service.embed(encoder.embed_images, pictures) if pictures else ())
        vectors += [next(of_texts if isinstance(item, str) else of_pictures) for item in some]
    return vectors


def _read(encoder: Encoder, given: Sequence[Any]) -> list[str | ImageInput]:
    """Return inputs with the texts that tokens stand for in place of these."""
    try:
        return [encoder.text_of(item) if isinstance(item, list) else item for item in given]  # type: ignore[attr-defined]
    except InputError as error:
        raise about("input", error) from None


def _tokens(encoder: Encoder, texts: Sequence[str]) -> int:
    """Return how many tokens of texts an encoder reads; 0 where it does not say, or none were texts."""
    count = getattr(encoder, "count_tokens", None)
    return int(count(texts)) if texts and count is not None else 0


def _compared(encoder: Encoder, texts: Sequence[str]) -> Vectors:
    """Return vectors of texts that compare with those of pictures, where the encoder has such."""
    vectors = encoder.embed_texts(texts)
    return among_images(encoder, vectors) if encoder.joint else vectors
