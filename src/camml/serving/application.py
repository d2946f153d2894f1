"""The server as an ASGI application."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from camml.errors import CaMMLError
from camml.serving import chat, completions, models, responses, stores
from camml.serving.access import Access, stored_secret
from camml.serving.bodies import first_mistake
from camml.serving.guard import Guard
from camml.serving.links import Links
from camml.serving.logs import logger
from camml.serving.problems import ApiError, of_exception
from camml.serving.service import Service
from camml.serving.streaming import ClientGone

WATCH_SECONDS = 2.0
"""How often the model is asked whether it is alive."""
CLIENT_GONE = 499
"""nginx's status for a request whose client did not wait for the answer."""


def create(service: Service, end: Callable[[], None] = lambda: None) -> FastAPI:
    """Return the application around a service, which it closes at the end.

    Args:
      end: called when the model has died, so that whoever runs the process can end it and start it again.
    """
    settings = service.settings
    secret = stored_secret(settings.state) if settings.api_keys else None
    access = Access(settings.api_keys, secret, settings.key_names)
    links = Links(service, access)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        watch = asyncio.create_task(_watch(service, end))
        yield
        watch.cancel()
        await service.close()

    # the pages of documentation that FastAPI offers load scripts from elsewhere
    app = FastAPI(title="CaMML", version=_version(), lifespan=lifespan, docs_url=None, redoc_url=None)
    _add_handlers(app)
    # what the description says of keys; the guard looks at them
    keyed = [Security(HTTPBearer(auto_error=False))] if settings.api_keys else []
    for interface in (chat, completions, responses):
        app.include_router(interface.router(service, links), dependencies=keyed)
    app.include_router(models.router(service), dependencies=keyed)
    app.include_router(stores.router(service, links), dependencies=keyed)
    app.include_router(_health(service, keyed))
    if find_spec("camml.serving.page_routes"):
        from camml.serving import page_routes

        app.include_router(page_routes.router(service))
    app.add_middleware(Guard, settings=service.settings, access=access, metrics=service.metrics)
    # outermost, so that a page that is allowed in can also read why it was refused
    if service.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_private_network=True,  # browsers ask, for pages from the internet, whether they may come here
            allow_headers=["*"],  # clients send headers of their own, such as X-Stainless-Lang, which are not read
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    return app


async def _watch(service: Service, end: Callable[[], None]) -> None:
    """Call `end` once the model has died."""
    while service.engine.healthy():
        await asyncio.sleep(WATCH_SECONDS)
    service.dead = True
    logger.error("the model has stopped: the server ends, to be started again")
    end()


def _health(service: Service, keyed: Sequence[Any]) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get("/health")
    async def health() -> dict[str, str]:
        """Say that the process is there."""
        return {"status": "ok"}

    @router.get("/ready")
    async def ready() -> dict[str, Any]:
        """Say whether questions will be answered: the model runs, and there is room."""
        if not service.engine.healthy():
            raise ApiError(503, "the model has stopped; restart the server", "not_ready")
        if service.answers.inside >= service.answers.capacity:
            raise ApiError(503, "the server has all the questions it can take", "overloaded")
        return {"status": "ready", "model": service.settings.served_name, "stores": list(service.shelves)}

    @router.get("/metrics", response_class=Response, dependencies=keyed)
    async def metrics() -> Response:
        """Return figures for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _add_handlers(app: FastAPI) -> None:
    """Give every error the shape that clients of OpenAI know."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        cause = error.__cause__
        if isinstance(cause, ApiError | OSError):  # met while FastAPI read the body
            error = of_exception(cause)
        if not isinstance(error, ApiError):
            error = ApiError(error.status_code, str(error.detail), "invalid_request", headers=error.headers)
        return _answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _answer(request, first_mistake(error.errors(), error.body))

    @app.exception_handler(CaMMLError)
    async def failed(request: Request, error: CaMMLError) -> Response:
        response = of_exception(error)
        if response.status_code >= 500:
            logger.error("a request failed", exc_info=error, extra={"fields": {"id": request.scope["camml"]["id"]}})
        return _answer(request, response)

    @app.exception_handler(ClientGone)
    async def gone(request: Request, error: ClientGone) -> Response:
        request.scope["camml"]["gone"] = True
        return Response(status_code=CLIENT_GONE)


def _answer(request: Request, error: ApiError) -> Response:
    """Return the answer to a request that is refused, noted for the log."""
    request.scope["camml"]["reason"] = error.code
    return error.response()


def _version() -> str:
    try:
        return version("camml")
    except PackageNotFoundError:  # run from its sources
        return "0"
