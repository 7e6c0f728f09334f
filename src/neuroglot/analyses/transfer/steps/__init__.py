"""The steps of the transfer analysis, one module each: from inputs and settings to a dataset."""
