"""Runs real processes, and kills them."""
