"""Any other sender, by settings alone: how it proves itself, and where in its JSON things stand."""

from handlers.providers.generic.provider import Generic
from handlers.providers.generic.settings import GenericSettings

__all__ = ["Generic", "GenericSettings"]
