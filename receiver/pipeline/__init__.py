"""The path of a callback, one step a file: ingest, confirm, normalize, outbox, deliver."""
