"""Shipped kits for authors of providers and sinks."""
