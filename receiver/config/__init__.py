"""The configuration: `hookscribe.toml` with variables of the environment, checked as a whole before anything starts."""

from receiver.config.load import DEFAULT_FILE, build, load
from receiver.config.reference import Row, masked, reference, reference_markdown
from receiver.config.root import Config, LimitSettings, ListenSettings, QuarantineSettings, RootSettings, address

__all__ = [
    "DEFAULT_FILE",
    "Config",
    "LimitSettings",
    "ListenSettings",
    "QuarantineSettings",
    "RootSettings",
    "Row",
    "address",
    "build",
    "load",
    "masked",
    "reference",
    "reference_markdown",
]
