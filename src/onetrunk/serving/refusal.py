"""Why a service does not do what a request asks, where the request itself is not wrong."""


class Refusal(Exception):
    """A request that is not answered: an HTTP status, and why. ``retry_after`` is in seconds."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after
