"""Asking providers: the guarded httpx client, and what drives a provider's generators with it."""
