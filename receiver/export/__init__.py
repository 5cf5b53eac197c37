"""A transcript as text in other people's forms: pure functions, no I/O."""
