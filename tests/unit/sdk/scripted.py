"""A service by script, and the command line run against it in this process."""

from __future__ import annotations

import httpx
from typer.testing import CliRunner, Result

from tidegate.cli import main


class Service:
    """Answers by method and path; keeps what it was asked."""

    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], httpx.Response] = {}
        self.asked: list[httpx.Request] = []

    def on(self, method: str, path: str, status: int = 200, body: object = None, **headers: str) -> None:
        self.routes[method, f"/api/v2{path}"] = httpx.Response(status, json=body, headers=headers)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        return self.routes.get((request.method, request.url.path), httpx.Response(404, json={"title": "no such path"}))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, list(arguments))
