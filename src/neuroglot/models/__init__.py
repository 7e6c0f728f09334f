"""Models: where an architecture keeps its neurons, how to run it and how to record it."""
