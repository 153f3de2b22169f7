"""The first page: which segments there are, how many are in them now, and who enters and leaves.

Rule: static files only; the page asks the API with the reader's own key, so it shows nothing that the key may not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

ASSETS: Final = Path(__file__).parent / "assets"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def page_router() -> APIRouter:
    """The page and its files, read once."""
    files = {file.name: (file.read_bytes(), TYPES[file.suffix]) for file in ASSETS.iterdir() if file.suffix in TYPES}
    router = APIRouter()

    @router.get("/")
    async def page() -> Response:
        return _file(*files["index.html"])

    @router.get("/assets/{name}")
    async def asset(name: str) -> Response:
        found = files.get(name)
        return Response("no such file\n", 404, media_type="text/plain") if found is None else _file(*found)

    return router


def _file(content: bytes, media_type: str) -> Response:
    return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})
