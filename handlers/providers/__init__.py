"""One file a provider: proof, message key and normalizing as plain functions of bytes."""
