"""The steps of the agreement analysis, one module each: from inputs and settings to a dataset."""
