"""What engine and handlers agree on; imports nothing of ours."""
