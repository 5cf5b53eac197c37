"""The one tree of errors. Steps raise, edges translate (web/problems.py to a status, cli to an exit code).

HookscribeError
├── ConfigError            the settings are wrong: nothing was started
├── UsageError             a command or API call was given something that cannot be done
│   ├── NotFound
│   └── Gone
├── Unreadable             proven bytes that today's code cannot read
├── ProviderError          a provider was asked for something
│   ├── ProviderRefused    it will not do it: credentials, input, an answer that makes no sense
│   │   └── NoAccess       it gives no token: nothing was sent with one
│   ├── ProviderBusy       not now: limits, faults, no connection; try again
│   └── Unanswered         it may have done it: the request was sent and its answer never read
├── StoreError
│   ├── StoreUnavailable   cannot keep anything now; try again
│   ├── Conflict           somebody else wrote the same meanwhile; read again and try again
│   └── SchemaError        the store and this release do not fit
└── Overloaded             a bound on memory, disk or time was reached
"""


class HookscribeError(Exception):
    """Something that Hookscribe can explain."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class ConfigError(HookscribeError):
    """The settings are wrong; nothing was started."""


class UsageError(HookscribeError):
    """The request cannot be done as it was put."""


class NotFound(UsageError):
    """There is no such thing."""


class Gone(UsageError):
    """It was here, and its retention has passed."""


class Unreadable(HookscribeError):
    """Proven bytes that today's code cannot read; they are kept, shown, and reprocessed after a fix.

    The message is shown to operators and logged: it names members and types, never their content.
    """


class ProviderError(HookscribeError):
    """A provider was asked for something and did not do it."""


class ProviderRefused(ProviderError):
    """The provider will not do it; asking again is of no use before something was changed."""


class NoAccess(ProviderRefused):
    """The provider gives no token for our credentials; what was to be sent with it was not sent."""


class ProviderBusy(ProviderError):
    """The provider cannot do it now; `after` is how many seconds it asked for, if it did."""

    def __init__(self, message: str | None = None, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Unanswered(ProviderError):
    """The request was sent and its answer never read: the provider may have done it."""


class StoreError(HookscribeError):
    """The store failed."""


class StoreUnavailable(StoreError):
    """The store cannot keep anything now; the sender is asked to come again."""


class Conflict(StoreError):
    """Somebody else wrote the same meanwhile; nothing was written, and it can be tried again."""


class SchemaError(StoreError):
    """The store's schema and this release do not fit together."""


class Overloaded(HookscribeError):
    """A bound on memory, disk or time was reached; try again later."""
