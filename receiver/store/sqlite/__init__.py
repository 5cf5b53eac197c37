"""SQLite: one file beside the process, for one machine."""
