"""Routes that upload, map, try out, commit, watch and cancel CSV imports.

Rule: each route is one step of an import; what a step does is `service.py`'s. The upload is streamed and has its own
limit; every other body is small JSON. An upload with an `Idempotency-Key` becomes one import, however often it is sent.
Files that cannot be used now, for want of room or rights, are "not now": nothing was changed, and nothing is left over.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import ValidationError

from segmentation.errors import PROBLEMS_MAX, Problem, Rejection
from services.ingest.answers import json_response
from services.ingest.bodies import is_number_up_to, path_text, read_json
from services.ingest.guard import Guard, secured
from services.ingest.imports import docs
from services.ingest.imports.errors_report import report_header
from services.ingest.imports.inspection import preview
from services.ingest.imports.limits import IMPORTS_LISTED_MAX
from services.ingest.imports.mapping import ImportMapping, default_mapping, unknown_column
from services.ingest.imports.multipart import MULTIPART, FormUpload
from services.ingest.imports.offloading import off_loop
from services.ingest.imports.records import ImportRecord, ImportState
from services.ingest.imports.resource import import_json, import_summary_json
from services.ingest.imports.service import Arrived, Imports
from services.ingest.imports.upload import arriving, check_declared_length, check_kind
from services.ingest.imports.upload_query import UploadQuery, read_upload_query
from services.ingest.once import Once
from services.runtime.keys import Scope
from services.runtime.logs import get_logger
from services.runtime.problems import ProblemError, invalid, model_faults, unavailable
from services.runtime.repeats import REPLAYED, identity_of

Handler = Callable[[Request], Awaitable[Response]]

LIST_LIMIT: Final = 50
_BEFORE_COMMIT: Final = frozenset({ImportState.UPLOADED, ImportState.CHECKING, ImportState.CHECKED})


log = get_logger("imports")


class ImportRoutes:
    """The routes under `/imports`."""

    def __init__(self, imports: Imports, once: Once, guard: Guard) -> None:
        self._imports = imports
        self._once = once
        self._guard = guard

    def router(self) -> APIRouter:
        """All of them, for `imports:write` only."""
        scope = Scope.IMPORTS_WRITE
        router = APIRouter(prefix="/imports", tags=["imports"], dependencies=[self._guard.allow(scope)])
        for method, path, handler, described in (
            ("POST", "", self.upload, docs.UPLOAD),
            ("GET", "", self.list_imports, docs.LIST),
            ("GET", "/{import_id}", self.get, docs.GET),
            ("PUT", "/{import_id}/mapping", self.set_mapping, docs.MAPPING),
            ("POST", "/{import_id}/dry-run", self.dry_run, docs.DRY_RUN),
            ("POST", "/{import_id}/commit", self.commit, docs.COMMIT),
            ("POST", "/{import_id}/cancel", self.cancel, docs.CANCEL),
            ("GET", "/{import_id}/errors.csv", self.errors, docs.ERRORS),
        ):
            extra = {**described["openapi_extra"], **secured(scope)}
            router.add_api_route(path, _answering(handler), methods=[method], **{**described, "openapi_extra": extra})
        return router

    async def upload(self, request: Request) -> Response:
        """Keep a file and look at it; with `commit=true`, write it at once."""
        identity = identity_of(request)
        check_declared_length(request.headers.get("content-length"))
        with self._imports.place():
            return await self._upload(request, identity)

    async def _upload(self, request: Request, identity: str | None) -> Response:
        said = request.query_params.multi_items()
        parts = arriving(request.stream())
        content_type = request.headers.get("content-type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind != MULTIPART:
            check_kind(kind)
        else:
            form = FormUpload(parts, content_type)
            # Of what may be said once, what is said last counts: the query.
            said, parts = [*await form.fields(), *said], form.file()
        query = read_upload_query(said)
        if isinstance(query, Rejection):
            raise invalid(query.problems, "the upload's parameters cannot be used")
        arrived = await self._imports.receive(parts)

        async def carry_out() -> Response:
            record = await self._import_of(arrived, query)
            headers = {"Location": f"{request.url.path}/{record.id}"}
            return json_response(await self._shown(record.id), 202 if query.commit else 201, headers)

        if identity is None:
            return await carry_out()
        fingerprint = hashlib.sha256(orjson.dumps([*said, arrived.received.sha256])).hexdigest()
        return await self._one_import(identity, fingerprint, arrived, carry_out)

    async def _one_import(
        self, identity: str, fingerprint: str, arrived: Arrived, carry_out: Callable[[], Awaitable[Response]]
    ) -> Response:
        """The answer to the first such upload; to a repeat, the import of the first as it stands.

        The claim comes after the file, which may take longer to arrive than a claim stands.
        """
        is_first = False

        async def carry_out_first() -> Response:
            nonlocal is_first
            is_first = True
            return await carry_out()

        try:
            # Where the import is says all that a repeat needs; the rows of its preview have no place in the log.
            answer = await self._once.answer(identity, fingerprint, carry_out_first, lambda _: (b"",))
        finally:
            if not is_first:
                await self._imports.forget(arrived)
        if is_first:
            return answer
        location = answer.headers["Location"]
        headers = {"Location": location, **REPLAYED}
        return json_response(await self._shown(location.rpartition("/")[2]), answer.status_code, headers)

    async def list_imports(self, request: Request) -> Response:
        """Imports, newest first."""
        limit = request.query_params.get("limit", str(LIST_LIMIT))
        if not is_number_up_to(IMPORTS_LISTED_MAX, limit):
            hint = f"give a number from 1 to {IMPORTS_LISTED_MAX}"
            raise invalid((Problem("invalid_parameter", f"limit is {limit[:100]!r}", hint),))
        sights, following = await self._imports.page(int(limit), request.query_params.get("cursor"))
        return json_response({"imports": [import_summary_json(sight) for sight in sights], "next": following})

    async def get(self, request: Request) -> Response:
        """One import as it is now."""
        return json_response(await self._shown(path_text(request, "import_id")))

    async def set_mapping(self, request: Request) -> Response:
        """Decide how columns become attributes."""
        import_id = path_text(request, "import_id")
        body = await read_json(request)
        try:
            mapping = ImportMapping.model_validate(body)
        except ValidationError as error:
            hint = 'send {"id_column": "email", "columns": {"Plan": {"attribute": "plan"}}}'
            raise invalid(model_faults(error, hint)) from error
        await self._imports.set_mapping(import_id, mapping)
        return json_response(await self._shown(import_id))

    async def dry_run(self, request: Request) -> Response:
        """Read the file without writing, to say what would happen."""
        record = await self._imports.dry_run(path_text(request, "import_id"))
        return json_response(await self._shown(record.id), 202)

    async def commit(self, request: Request) -> Response:
        """Write the rows."""
        again = request.query_params.get("again", "false")
        if again not in ("true", "false"):
            raise invalid((Problem("invalid_parameter", f"again is {again[:100]!r}", "give true or false"),))
        record = await self._imports.commit(path_text(request, "import_id"), again=again == "true")
        return json_response(await self._shown(record.id), 202)

    async def cancel(self, request: Request) -> Response:
        """Stop; what is written stays written."""
        record = await self._imports.cancel(path_text(request, "import_id"))
        return json_response(await self._shown(record.id))

    async def errors(self, request: Request) -> Response:
        """The rejected rows so far, as CSV."""
        sight = await self._imports.get(path_text(request, "import_id"))
        record = sight.record
        written = record.state not in _BEFORE_COMMIT
        below_row = sight.checkpoint.row + 1 if written else None

        def lines() -> Iterator[bytes]:
            yield report_header(record.names)
            yield from self._imports.files.rejected(record.id, below_row)

        headers = {"Content-Disposition": f'attachment; filename="{record.id}-rejected.csv"'}
        return StreamingResponse(lines(), 200, headers, "text/csv; charset=utf-8")

    async def _import_of(self, arrived: Arrived, query: UploadQuery) -> ImportRecord:
        """Make a file that was kept an import, as far on as the upload asks for."""
        try:
            record = await self._imports.upload(arrived, query.name, query.dialect)
            # Blank cells alone are no mapping: they change one that is remembered, and wait where there is none.
            if query.maps or (query.blank is not None and record.mapping is not None):
                return await self._decide(record, query)
        except OSError:
            await self._imports.forget(arrived)
            raise
        return record

    async def _decide(self, record: ImportRecord, query: UploadQuery) -> ImportRecord:
        """Take the mapping that came with the upload, and commit if that is asked for."""
        try:
            mapping = _mapping_from(query, record)
            await self._imports.set_mapping(record.id, mapping)
            if query.commit:
                return await self._imports.commit(record.id, again=query.again)
        except ProblemError:
            # The sender is told what is wrong and sends again; the file would only be left over.
            await self._imports.cancel(record.id)
            raise
        return record

    async def _shown(self, import_id: str) -> dict[str, Any]:
        """An import as JSON, with a preview as long as its rows may still be reviewed."""
        sight = await self._imports.get(import_id)
        shown = import_json(sight)
        record = sight.record
        shown["preview"] = await off_loop(self._preview, record) if record.state in _BEFORE_COMMIT else []
        return shown

    def _preview(self, record: ImportRecord) -> list[dict[str, Any]]:
        try:
            with self._imports.files.upload(record.id) as file:
                return preview(file, record.dialect, record.names, record.mapping)
        except FileNotFoundError:
            return []  # The import has ended since its record was read.


def _answering(handler: Handler) -> Handler:
    """A route that answers 503 where the files cannot be used."""

    @functools.wraps(handler)
    async def answering(request: Request) -> Response:
        try:
            return await handler(request)
        except OSError as error:
            log.error("imports cannot be used now", reason=str(error), request_id=request.state.request_id)
            found = error.strerror or type(error).__name__
            detail = "make room or repair access where imports are kept (TIDEGATE_IMPORTS_URL), then send it again"
            raise unavailable("files_unusable", f"the imports' files cannot be used: {found}", detail) from error

    return answering


def _mapping_from(query: UploadQuery, record: ImportRecord) -> ImportMapping:
    """The mapping that an upload's query means. Errors: ProblemError 422."""
    if query.id_column is None:
        if record.mapping is not None and not query.attributes and not query.types:
            return record.mapping if query.blank is None else record.mapping.model_copy(update={"blank": query.blank})
        suggested = record.suggested_id_column
        hint = (
            f"did you mean id_column={suggested}?" if suggested else "the columns are: " + ", ".join(record.names[:20])
        )
        problem = Problem("no_id_column", "nobody has said which column holds the contact id", hint)
        raise invalid((problem,), "the upload's parameters cannot be used")
    named = [*query.attributes, *query.types]
    unknown = ImportMapping(id_column=query.id_column, columns={})
    blank = query.blank or "keep"
    mapping = default_mapping(query.id_column, record.columns, query.attributes, query.types, blank)
    strange = [name for name in named if name not in record.names]
    if strange:
        found = [unknown_column(name, record.names) for name in strange[:PROBLEMS_MAX]]
        raise invalid(found, "the upload's parameters cannot be used")
    return mapping if query.id_column in record.names else unknown
