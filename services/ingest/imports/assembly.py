"""Makes the imports of an ingest process out of its settings, running for as long as the process serves.

Rule: assembly only.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Collection

from schemas.topics import Topic, topic_name
from services.ingest.imports.bulk_log import KafkaBulkLog
from services.ingest.imports.claims import Claims
from services.ingest.imports.contact_lookup import OwnersLookup
from services.ingest.imports.dry_run import DryRunner
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.service import Imports
from services.ingest.imports.workshop import Workshop
from services.ingest.settings import IngestSettings
from services.runtime import clock
from services.runtime.addresses import without_credentials
from services.runtime.errors import StartRefusedError
from services.runtime.kafka import client_options

FOLDER = "imports"


@contextlib.asynccontextmanager
async def running_imports(
    settings: IngestSettings, known_attributes: Callable[[], Collection[str]]
) -> AsyncIterator[Imports]:
    """Imports at work; at the end they rest at a checkpoint. Errors: StartRefusedError when the place is unusable."""
    url = settings.imports_url or str(settings.data_dir / FOLDER)
    topic = topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES)
    contacts = OwnersLookup(settings)
    try:
        files = ImportFiles(url, settings.uploads_mib * 1024 * 1024)
        workshop = Workshop(
            files=files,
            open_log=lambda is_ours: KafkaBulkLog(client_options(settings), topic, settings.partitions, is_ours),
            partitions=settings.partitions,
            now_ms=clock.now_ms,
            dry_runner=DryRunner(contacts),
            claims=Claims(files, f"{socket.gethostname()}:{settings.ingest_port}", clock.now_ms),
        )
        await workshop.start()
    except (OSError, ValueError, ImportError) as error:
        raise StartRefusedError(
            without_credentials(
                f"TIDEGATE_IMPORTS_URL {url} cannot be used for imports: {error}; name a folder that can be written, "
                "or an object store's URL with its fsspec driver installed"
            )
        ) from error
    try:
        yield Imports(files, workshop, known_attributes, clock.now_ms)
    finally:
        await workshop.stop()
        await contacts.close()
