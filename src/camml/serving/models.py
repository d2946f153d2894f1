"""`/v1/models` and `/v1/embeddings`: what there is to ask, and the vectors that datastores are searched by."""

import base64
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from camml.encoders import Encoder, Vectors, among_images
from camml.serving.problems import ApiError
from camml.serving.service import Service
from camml.serving.wire import EmbeddingBody, ErrorOut, ImageInput


def router(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["models"], responses={"4XX": {"model": ErrorOut}, "5XX": {"model": ErrorOut}})
    created = int(service.started)

    def model(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": created, "owned_by": "camml"}

    def names() -> list[str]:
        return [service.settings.served_name, *_encoders(service)]

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The model that answers, and the encoders of the datastores."""
        return {"object": "list", "data": [model(name) for name in names()]}

    @router.get("/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        """One of them."""
        if name not in names():
            raise ApiError(404, f"no model {name!r} here; there are: {', '.join(names())}", "model_not_found", "model")
        return model(name)

    @router.post("/v1/embeddings")
    async def embeddings(body: EmbeddingBody) -> dict[str, Any]:
        """Unit vectors of texts or pictures, from the encoder of a datastore (or the datastore's name)."""
        encoders = _encoders(service) | {name: shelf.encoder for name, shelf in service.shelves.items()}
        if body.model not in encoders:
            known = ", ".join(encoders) or "none, since there is no datastore"
            raise ApiError(404, f"no encoder {body.model!r} here; there are: {known}", "model_not_found", "model")
        items = body.input if isinstance(body.input, list) else [body.input]
        with service.store_work.enter():
            vectors = await service.thread(_embed, service, encoders[body.model], items, body.dimensions)
        as_text = body.encoding_format == "base64"
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode() if as_text else vector.tolist(),
            }
            for index, vector in enumerate(vectors)
        ]
        # encoders do not say how many tokens they read
        return {"object": "list", "data": data, "model": body.model, "usage": {"prompt_tokens": 0, "total_tokens": 0}}

    return router


def _encoders(service: Service) -> dict[str, Encoder]:
    return {shelf.encoder.name: shelf.encoder for shelf in service.shelves.values()}


def _embed(
    service: Service, encoder: Encoder, items: Sequence[str | ImageInput], dimensions: int | None
) -> list[Vectors]:
    """A vector for each item, in order. Blocks."""
    texts = [item for item in items if isinstance(item, str)]
    pictures = [service.pictures.open(item.image_url.url) for item in items if isinstance(item, ImageInput)]
    width = encoder.image_dim if pictures or encoder.joint else encoder.text_dim
    if dimensions not in (None, width):
        raise ApiError(400, f"these vectors have {width} dimensions, and no others", "invalid_value", "dimensions")
    of_texts = iter(_compared(encoder, texts) if texts else ())
    of_pictures = iter(encoder.embed_images(pictures) if pictures else ())
    return [next(of_texts if isinstance(item, str) else of_pictures) for item in items]


def _compared(encoder: Encoder, texts: Sequence[str]) -> Vectors:
    """Return vectors of texts that compare with those of pictures, where the encoder has such."""
    vectors = encoder.embed_texts(texts)
    return among_images(encoder, vectors) if encoder.joint else vectors
