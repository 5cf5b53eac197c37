"""PostgreSQL as a store: many receivers and workers on one database."""
