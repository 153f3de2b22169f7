"""The contracts as they stand: what is generated is up to date, and nothing that was released is broken."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from schemas.generate import asyncapi
from tests.contracts.__main__ import BASELINE, apis, baseline, files, records
from tests.contracts.compatibility import api_breaks, record_breaks, topic_breaks
from tests.services.ingest.conftest import Running, ingest_settings, running

__all__ = ["ingest_settings", "running"]

HELP = (
    "This breaks whoever was written for the released contracts. Keep what was there and add beside it; or, if it must "
    "be, raise the major version of the document and release it with `python -m tests.contracts --release`."
)


def released(name: str) -> Any:
    return json.loads((BASELINE / f"{name}.json").read_text())


def major(document: Any) -> int:
    return int(document["info"]["version"].partition(".")[0])


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return apis()


def test_the_openapi_documents_and_the_reference_pages_are_up_to_date(described: dict[str, Any]) -> None:
    stale = [
        str(path) for path, content in files(described).items() if not path.exists() or path.read_text() != content
    ]
    assert stale == [], "run `make schemas`"


def test_no_released_record_or_topic_is_broken_without_a_new_version() -> None:
    before, after = released("asyncapi"), asyncapi()
    if major(after) == major(before):
        assert record_breaks(released("records"), records()) == [], HELP
        assert topic_breaks(before, json.loads(json.dumps(after))) == [], HELP


@pytest.mark.parametrize("service", ["ingest", "console", "webhooks"])
def test_no_released_operation_is_broken_without_a_new_version(service: str, described: dict[str, Any]) -> None:
    before, after = released(service), described[service]
    if major(after) == major(before):
        assert api_breaks(before, after) == [], HELP


def test_a_breaking_change_of_the_real_contracts_is_refused(described: dict[str, Any]) -> None:
    planted = json.loads(json.dumps(records()))
    planted["membership_change_record"]["properties"]["moment"] = planted["membership_change_record"]["properties"].pop(
        "at"
    )
    planted["contact_change_record"]["required"] = ["attributes", "contact_id"]
    found = record_breaks(released("records"), planted)
    assert "membership_change_record/at: is gone" in found
    assert any(reason.startswith("contact_change_record/contact_id") for reason in found), found
    for service, document in described.items():
        for path, item in document["paths"].items():
            gone = api_breaks({"paths": {path: item}}, {"paths": {}})
            assert {reason.rpartition(": ")[2] for reason in gone} == {"is gone"}, (service, path)


def test_a_release_of_what_stands_breaks_nothing(described: dict[str, Any]) -> None:
    for path, content in baseline(described).items():
        document = json.loads(content)
        if path.stem in described:
            assert api_breaks(document, described[path.stem]) == []
            assert api_breaks(described[path.stem], document) == []


def test_every_service_tells_of_a_request_that_fails_by_one_model(described: dict[str, Any]) -> None:
    ingest, console, webhooks = (described[each]["components"]["schemas"] for each in ("ingest", "console", "webhooks"))
    for name in ("Problem", "Fault", "Span"):
        assert ingest[name] == console[name], name
    assert webhooks["Problem"] == ingest["Problem"]
    # It takes no expressions: each fault of a body has its pointer.
    assert {*webhooks["Fault"]["required"]} == {*ingest["Fault"]["required"], "pointer"}
    assert {*webhooks["Fault"]["properties"]} == {*ingest["Fault"]["properties"]} - {"span"}


@pytest.mark.broker
async def test_a_running_ingest_says_of_itself_what_its_document_says(
    running: Running, described: dict[str, Any]
) -> None:
    told: httpx.Response = await running.http.get("/api/v2/openapi.json")
    assert told.json() == json.loads(json.dumps(described["ingest"])), (
        "a route is missing in tests/contracts/openapi_ingest.py"
    )


def test_every_reference_of_the_documents_leads_somewhere(described: dict[str, Any]) -> None:
    for document in described.values():
        for target in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
            node = document
            for step in target.split("/"):
                assert step in node, target
                node = node[step]
