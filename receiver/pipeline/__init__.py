"""The path of a callback, one step a file: ingest, confirm, normalize, outbox, deliver; `worker` runs what is behind the reply.

Of `deliver`, each has a file: what is taken (`claims`), in which order it goes (`taken`), a send (`attempt`), how it ended
(`endings`), and when a sink is left alone (`breaker`, `schedule`). `jobs` holds what we ask providers for, `operating` what
is done to what is stored already.
"""
