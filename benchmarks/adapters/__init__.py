"""One file a contender, all of the same shape."""
