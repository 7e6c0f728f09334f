"""The steps of the sharing analysis: kinds of neurons, what they contribute, what they cause."""
