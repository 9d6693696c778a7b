"""The errors of this package: each message says in one or two plain sentences what happened and what to do.

An SDK's own errors are turned into these once, in its backend. `utils.core` re-exports all of them.
"""

__all__ = [
    "BackendError",
    "BadAnswer",
    "BadInput",
    "BadModel",
    "ExportFailed",
    "Interrupted",
    "KeyProblem",
    "NotInstalled",
    "NotRunning",
    "RateLimited",
    "Retired",
    "TimedOut",
    "TooLong",
    "UnknownModel",
    "Unsupported",
]


class BackendError(Exception):
    """Something went wrong on the way to an answer. The message says what happened and what to do.

    `partial` holds the text that had arrived before.
    """

    partial: str = ""


class BadInput(BackendError, ValueError):
    """A prompt, option, route or mode that no backend could use."""


class Unsupported(BackendError):
    """This route cannot do what was asked of it; another one may."""


class NotInstalled(BackendError):
    """A package that the route needs is missing, or real weights that were asked for are not on this machine."""


class NotRunning(BackendError):
    """The server behind the route does not answer."""


class KeyProblem(BackendError):
    """The key is missing, malformed or rejected."""


class UnknownModel(BackendError):
    """The route has no model of that name."""


class BadModel(BackendError):
    """The model's files are missing, damaged or of a kind that is not safe to load."""


class ExportFailed(BackendError):
    """The model could not be turned into the runtime's format; nothing was left behind."""


class Retired(BackendError):
    """The service or model has been switched off."""


class RateLimited(BackendError):
    """Too many requests."""


class TooLong(BackendError):
    """Prompt and answer do not fit into the model's context."""


class TimedOut(BackendError):
    """No answer within the time allowed."""


class BadAnswer(BackendError):
    """What came back is not an answer of a model."""


class Interrupted(BackendError):
    """The answer broke off; `partial` holds what had arrived."""
