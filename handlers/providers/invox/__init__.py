"""INVOX Medical: transcription callbacks, as developer.invoxmedical.com describes them."""

from handlers.providers.invox.provider import Invox
from handlers.providers.invox.settings import InvoxSettings

__all__ = ["Invox", "InvoxSettings"]
