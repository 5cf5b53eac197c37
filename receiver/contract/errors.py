"""The one tree of errors. Steps raise, edges translate (web/problems.py to a status, cli to an exit code).

HookscribeError
├── ConfigError            the settings are wrong: nothing was started
├── UsageError             a command or API call was given something that cannot be done
│   ├── NotFound
│   └── Gone
├── Unreadable             proven bytes that today's code cannot read
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
