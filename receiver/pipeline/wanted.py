"""Which events are made of a source's callbacks, by globs of their types."""

from fnmatch import fnmatchcase

import msgspec


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are made of a source's callbacks."""

    include: tuple[str, ...] = ("*",)
    ignore: tuple[str, ...] = ()

    def makes(self, event_type: str, prefix: str) -> bool:
        """Say whether an event is made; globs may be written with or without the prefix."""
        names = (event_type, f"{prefix}.{event_type}") if prefix else (event_type,)
        included, ignored = (
            any(fnmatchcase(name, glob) for name in names for glob in globs) for globs in (self.include, self.ignore)
        )
        return included and not ignored
