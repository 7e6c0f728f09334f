"""The steps of the transfer analysis, one module each: named inputs and settings to a dataset."""
