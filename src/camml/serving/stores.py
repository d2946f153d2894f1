"""`/v1/stores`: datastores looked through, searched, added to and removed from."""

import json
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from PIL import Image
from pydantic import ValidationError
from starlette.datastructures import FormData

from camml.errors import StoreError
from camml.serving.bodies import SAY_JSON, CheckedRoute, first_mistake, read_json
from camml.serving.links import Links
from camml.serving.logs import logger
from camml.serving.problems import ApiError
from camml.serving.service import Service
from camml.serving.shelf import ServedDatastore
from camml.serving.wire import (
    ErrorOut,
    MetaForm,
    NeighborsOut,
    NewSample,
    Removed,
    SampleOut,
    SamplesOut,
    SearchBody,
    StoreOut,
    StoresOut,
)
from camml.types import Query as StoreQuery

Ids = Annotated[list[str], Query(alias="id", max_length=1000)]

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
FIELDS = ("text", "id", "meta", "image")
"""Fields of a form that adds a sample."""

AS_JSON = {"requestBody": {"content": {"application/json": {"schema": NewSample.model_json_schema()}}}}
"""The other body that adds a sample, for the description of the API."""

LOST = "\ufffd"
"""The character that stands in a form for bytes that are not UTF-8."""


def router(service: Service, links: Links) -> APIRouter:
    """Return the routes."""
    router = APIRouter(
        route_class=CheckedRoute,
        prefix="/v1/stores",
        tags=["datastores"],
        responses={"4XX": {"model": ErrorOut}, "5XX": {"model": ErrorOut}},
    )
    _listing(router, service, links)
    _finding(router, service, links)
    _writing(router, service, links)
    return router


def _listing(router: APIRouter, service: Service, links: Links) -> None:
    @router.get("")
    async def stores() -> StoresOut:
        """Return all datastores that can be read now; the log says why one cannot."""
        data: list[StoreOut] = []
        for shelf in service.shelves.values():
            try:
                data.append(await service.thread(_store, shelf))
            except StoreError as error:
                logger.warning("the datastore %r is not listed: %s", shelf.name, error)
        return StoresOut(data=data, default=service.default_store)

    @router.get("/{store}")
    async def store(store: str) -> StoreOut:
        """Return one datastore."""
        return await service.thread(_store, service.shelf(store))

    @router.get("/{store}/samples")
    async def samples(
        store: str,
        request: Request,
        ids: Ids = [],  # noqa: B006 (FastAPI copies it)
        offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> SamplesOut:
        """Return samples in the order they were added, or those of the given ids."""
        shelf, here = service.shelf(store), links.at(request)

        def work() -> SamplesOut:
            samples = shelf.samples(ids) if ids else shelf.page(offset, limit)
            total = len(samples) if ids else len(shelf.datastore)
            data = [here.sample(sample, store) for sample in samples]
            return SamplesOut(data=data, total=total, has_more=not ids and offset + len(samples) < total)

        with service.store_work.enter():
            return await service.thread(work)


def _finding(router: APIRouter, service: Service, links: Links) -> None:
    @router.post("/{store}/search")
    async def search(store: str, body: SearchBody, request: Request) -> NeighborsOut:
        """Return the samples nearest to words, to a picture, or to both."""
        shelf, here = service.shelf(store), links.at(request)
        if not body.query.strip() and body.image_url is None:
            raise ApiError(400, "give a query, an image_url, or both", "invalid_value", "query")

        def work(picture: Image.Image | None) -> NeighborsOut:
            with service.metrics.retrieval.time():
                context = shelf.search(StoreQuery(body.query, picture), body.k, body.search())
            return NeighborsOut(data=[here.neighbor(neighbor, store) for neighbor in context])

        with service.store_work.enter():
            return await service.thread(work, None if body.image_url is None else await service.picture(body.image_url))

    @router.get("/{store}/thumbnail", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
    async def thumbnail(
        store: str,
        request: Request,
        sample_id: Annotated[str, Query(alias="id")],
        side: Annotated[int, Query(ge=16, le=1024, description="pixels of the longer side at most")] = 256,
        expires: Annotated[int, Query(ge=0, le=2**60)] = 0,
        token: str = "",
    ) -> Response:
        """Return the picture of a sample, small. Needs an API key, or the signature that `thumbnail_url` carries."""
        allowed = links.access.knows(request.headers.get("authorization", ""))
        if not allowed and not links.access.may_see(store, sample_id, expires, token):
            raise ApiError(401, "this address of a picture has expired, or is not from here", "invalid_api_key")
        with service.looks.enter():
            picture = await service.look(service.shelf(store).thumbnail, sample_id, side)
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


def _writing(router: APIRouter, service: Service, links: Links) -> None:
    @router.post("/{store}/samples", status_code=201, openapi_extra=AS_JSON)
    async def add(
        store: str,
        request: Request,
        text: Annotated[str, Form(max_length=1_000_000)] = "",
        sample_id: Annotated[str | None, Form(alias="id", max_length=512)] = None,
        meta: Annotated[str, Form(max_length=100_000, description="a JSON object of plain values")] = "{}",
        image: Annotated[UploadFile | None, File(description="a picture")] = None,
    ) -> SampleOut:
        """Add a sample, from a form or from JSON (`NewSample`); the next question can find it."""
        shelf, here = service.shelf(store), links.at(request)
        if LOST in text:
            raise ApiError(
                400, f"text: is not UTF-8, or holds {LOST!a}, which stands for a lost letter", "invalid_value", "text"
            )
        data = await image.read() if image is not None else None
        if await _is_json(request):
            sample = _new_sample(await request.body())
            text, sample_id, meta = sample.text, sample.id, json.dumps(sample.meta)
            data = None if sample.image_url is None else (await service.read([sample.image_url]))[sample.image_url]
        else:
            _check_form(await request.form())
        facts = _meta(meta)

        def work() -> SampleOut:
            return here.sample(shelf.add(text, data, sample_id or None, facts), store)

        with service.store_work.enter():
            if data is not None:
                await service.look(service.pictures.decode, data)
            return await service.change(work)

    @router.delete("/{store}/samples")
    async def remove(store: str, ids: Ids) -> Removed:
        """Remove samples by their ids, all or none."""
        if not ids:
            raise ApiError(400, "give the ids to remove, as ?id=A&id=B", "invalid_value", "id")
        with service.store_work.enter():
            return Removed(removed=await service.change(service.shelf(store).remove, ids))


def _store(shelf: ServedDatastore) -> StoreOut:
    shelf.refresh()
    datastore = shelf.datastore
    return StoreOut(
        id=shelf.name,
        samples=len(datastore),
        images=datastore.count("image"),
        texts=datastore.count("text"),
        encoder=datastore.manifest.encoder.name,
        modes=shelf.modes(),
        read_only=not shelf.can_write,
    )


async def _is_json(request: Request) -> bool:
    """Return whether a sample comes as JSON rather than as a form.

    Raises:
      ApiError: it comes as neither.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", *FORMS) and await request.body():
        raise ApiError(400, f"body: {SAY_JSON}; or send a form", "invalid_value", "body")
    return kind == "application/json"


def _check_form(form: FormData) -> None:
    """Raise an ApiError if a form has a field that no sample has, or one field twice."""
    for name, count in Counter(name for name, _ in form.multi_items()).items():
        if name.lstrip().startswith("{"):  # curl calls what it sends a form, unless it is told otherwise
            raise ApiError(400, f"body: {SAY_JSON}; or send a form", "invalid_value", "body")
        if name not in FIELDS:
            known = ", ".join(FIELDS[:-1])
            reason = f"forms have no such field; there are {known} and image, which is the picture's file"
            raise ApiError(400, f"{name[:200]}: {reason}", "invalid_value", name[:200])
        if count > 1:
            reason = "a sample has one picture at most" if name == "image" else f"the form has it {count} times"
            raise ApiError(400, f"{name}: {reason}", "invalid_value", name)


def _new_sample(data: bytes) -> NewSample:
    """Return the sample in a body.

    Raises:
      ApiError: it is no JSON, or does not fit.
    """
    document = read_json(data)
    try:
        return NewSample.model_validate(document)
    except ValidationError as error:
        mistakes = [{**mistake, "loc": ("body", *mistake["loc"])} for mistake in error.errors()]
        raise first_mistake(mistakes, document) from None


def _meta(text: str) -> dict[str, Any]:
    """Return the metadata in a form field.

    Raises:
      ApiError: it is not a JSON object of plain values.
    """
    try:
        return MetaForm(meta=read_json(text.encode())).meta
    except (ApiError, ValueError, ValidationError):
        raise ApiError(
            400, 'meta should be a JSON object of plain values, such as {"country": "France"}', "invalid_value", "meta"
        ) from None
