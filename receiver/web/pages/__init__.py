"""The inspection page: what is kept and what waits, as pages for people, rendered by the server."""
