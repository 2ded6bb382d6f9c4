"""The page, as it was built; a sentence where it was not."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import PlainTextResponse, Response

NOT_BUILT = (
    "The page of this service was not built; the API works without it (GET /openapi.json).\nBuild it with: make page\n"
)


def install(app: FastAPI) -> None:
    """Serve the page's files where no route of the API matches."""
    built = Path(str(files("lung_nodules.service"))) / "page" / "dist"
    if (built / "index.html").is_file():
        app.frontend("/", directory=built, fallback=None, check_dir=True)
        return

    @app.get("/", include_in_schema=False)
    async def say_not_built() -> Response:
        return PlainTextResponse(NOT_BUILT, status_code=404)
