"""The demo: every provider's recorded callbacks, proven anew, through a whole receiver into every kind of sink."""
