"""Redaction: values that must not leave are found in texts, words and any JSON, and masked; pure functions."""
