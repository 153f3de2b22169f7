"""The workspace and the writer of membership changes that the SDK's tests have."""

from tests.services.sdk.conftest import stream, workspace

__all__ = ["stream", "workspace"]
