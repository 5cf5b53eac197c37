"""The path of a callback, one step a file: ingest, confirm, normalize, outbox, deliver; `worker` runs what is behind the reply.

`jobs` holds what we ask providers for, `operating` what is done to what is stored already.
"""
