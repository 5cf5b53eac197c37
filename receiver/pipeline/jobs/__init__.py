"""Jobs: recordings that were handed in, from submitting them to their result, whoever brings it."""
