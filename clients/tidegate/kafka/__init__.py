"""What the Kafka client library does not do by itself, for all of ours that speaks to a broker: SDK and services.

Rule: each mend stands for one class or function of the library, put in place once, and only where the program has not
put one of its own. This package knows the library and nothing of ours.
"""

from __future__ import annotations

from tidegate.kafka.batches import use_records
from tidegate.kafka.connection import use_connection
from tidegate.kafka.fetching import use_fetcher
from tidegate.kafka.unpacking import use_unpacking


def mend_client() -> None:
    """Make every client of this process connect, fetch and read by ours from now on. Harmless when repeated."""
    use_connection()
    use_fetcher()
    use_records()
    use_unpacking()
