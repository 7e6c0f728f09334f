"""The steps of the boost analysis, one module each: from inputs and settings to a dataset."""
