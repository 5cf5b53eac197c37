"""Where everything is kept: domain verbs, SQL as text, migrations."""
