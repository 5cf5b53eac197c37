"""Developing against real providers: settings that need no file, a tunnel, and a line for every callback."""
