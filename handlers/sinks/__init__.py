"""One file a sink: where events go."""
