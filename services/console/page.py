"""The dashboard's files: built from `clients/dashboard`, read once, served with the path of every page.

Rule: static files only; the page asks the API in the session's name, so it shows nothing that its key may not read.
A file whose name holds a hash of its content may be kept for ever; the entry page is asked for each time.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

DASHBOARD: Final = Path(__file__).parent / "dashboard"
ENTRY: Final = "index.html"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
ASK_EACH_TIME: Final = "no-cache"


@dataclass(frozen=True, slots=True)
class ServedFile:
    """One file as it goes out."""

    content: bytes
    packed: bytes
    media_type: str
    cache: str

    @classmethod
    def read(cls, path: Path) -> ServedFile:
        """Read and pack it once."""
        content = path.read_bytes()
        cache = ASK_EACH_TIME if path.name == ENTRY else FOR_EVER
        return cls(content, gzip.compress(content, mtime=0), TYPES[path.suffix], cache)

    def answer(self, request: Request) -> Response:
        """The file, packed if the browser can unpack it."""
        headers = {"Cache-Control": self.cache, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return Response(self.packed, media_type=self.media_type, headers={**headers, "Content-Encoding": "gzip"})
        return Response(self.content, media_type=self.media_type, headers=headers)


def page_router() -> APIRouter:
    """The files, and the entry page for every other path: the page itself reads the path."""
    files = {
        str(path.relative_to(DASHBOARD)): ServedFile.read(path)
        for path in DASHBOARD.rglob("*")
        if path.suffix in TYPES and path.is_file()
    }
    router = APIRouter()

    @router.get("/assets/{name:path}")
    async def asset(name: str, request: Request) -> Response:
        found = files.get(f"assets/{name}")
        if found is None:
            return Response("no such file; reload the page\n", 404, media_type="text/plain")
        return found.answer(request)

    @router.get("/{path:path}")
    async def page(request: Request) -> Response:
        return files[ENTRY].answer(request)

    return router
