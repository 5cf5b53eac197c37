"""The quarantine: what was refused, kept for a while in a file of its own beside the store."""
