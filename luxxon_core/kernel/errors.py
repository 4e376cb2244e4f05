"""The one tree of errors. Each knows its code, HTTP status and default message (api-contract §2).

``detail`` follows ``<domain>:<label>[:<qualifier>]`` and is safe to show. One middleware turns these into
the error envelope; nothing else builds an error answer.
"""

from __future__ import annotations

from typing import ClassVar


class LuxxonError(Exception):
    """Root of everything that Luxxon raises on purpose."""

    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    status: ClassVar[int] = 500
    default_message: ClassVar[str] = "Internal server error"

    def __init__(self, detail: str | None = None, message: str | None = None) -> None:
        self.detail = detail
        self.message = message or self.default_message
        super().__init__(f"{self.message} ({detail})" if detail else self.message)


class NotAuthenticated(LuxxonError):
    code, status, default_message = "NOT_AUTHENTICATED", 401, "Session expired or missing"


class InvalidToken(NotAuthenticated):
    code, default_message = "INVALID_TOKEN", "Bearer token not recognised"


class InvalidApiKey(NotAuthenticated):
    code, default_message = "INVALID_API_KEY", "API key unknown"


class RevokedApiKey(NotAuthenticated):
    code, default_message = "REVOKED_API_KEY", "API key revoked"


class MissingToken(NotAuthenticated):
    code, default_message = "MISSING_TOKEN", "Webhook token missing or wrong"


class NotAuthorized(LuxxonError):
    code, status, default_message = "NOT_AUTHORIZED", 403, "Not authorized for this operation"


class InsufficientScope(NotAuthorized):
    code, default_message = "INSUFFICIENT_SCOPE", "API key lacks the scope of this operation"


class WorkspaceMismatch(NotAuthorized):
    code, default_message = "WORKSPACE_MISMATCH", "API key belongs to another workspace"


class InvalidInput(LuxxonError):
    code, status, default_message = "INVALID_INPUT", 400, "Invalid request payload"


class PayloadTooLarge(InvalidInput):
    status, default_message = 413, "Request body too large"


class RequestTimeout(InvalidInput):
    status, default_message = 408, "Request body did not arrive in time"


class InsufficientCredit(InvalidInput):
    code, default_message = "INSUFFICIENT_CREDIT", "Pool balance is below rate × maximum duration"


class OutsideCoverage(InvalidInput):
    code, default_message = "OUTSIDE_COVERAGE", "Requested point lies outside the operator's coverage"


class Conflict(LuxxonError):
    code, status, default_message = "CONFLICT", 409, "Conflicts with the current state"


class InvalidState(Conflict):
    code, default_message = "INVALID_STATE", "Not allowed in the current state"


class QuoteExpired(Conflict):
    code, default_message = "QUOTE_EXPIRED", "Quote expired or already used"


class NotFound(LuxxonError):
    code, status, default_message = "NOT_FOUND", 404, "Not found"


class MethodNotAllowed(NotFound):
    status, default_message = 405, "Method not allowed"


class SessionNotFound(NotFound):
    code, default_message = "SESSION_NOT_FOUND", "Session not found"


class WorkspaceNotFound(NotFound):
    code, default_message = "WORKSPACE_NOT_FOUND", "Workspace not found"


class QuoteNotFound(NotFound):
    code, default_message = "QUOTE_NOT_FOUND", "Quote not found"


class FrameNotAvailable(NotFound):
    code, default_message = "FRAME_NOT_AVAILABLE", "No video frame available yet"


class RateLimited(LuxxonError):
    code, status, default_message = "RATE_LIMITED", 429, "Too many requests; see Retry-After"


class Unavailable(LuxxonError):
    code, status, default_message = "UNAVAILABLE", 503, "No idle operator right now"


class NotReady(Unavailable):
    default_message = "Not ready to serve"


class NoCoverage(Unavailable):
    code, default_message = "NO_COVERAGE", "No online operator covers this point"


class AuthzError(LuxxonError):
    code, status, default_message = "AUTHZ_ERROR", 503, "Authorization service unavailable"


class ExternalError(LuxxonError):
    code, status, default_message = "EXTERNAL_ERROR", 502, "An upstream service failed"


class VideoError(ExternalError):
    code, default_message = "VIDEO_ERROR", "The media edge failed"


class DeviceTimeout(ExternalError):
    status, default_message = 504, "The camera did not answer in time"


class DatabaseError(LuxxonError):
    code, status, default_message = "DATABASE_ERROR", 500, "Database failure"


class StartError(LuxxonError):
    """The process cannot start as it was asked to; the command line shows one line and exits with 2."""

    code, default_message = "START_ERROR", "Cannot start"
