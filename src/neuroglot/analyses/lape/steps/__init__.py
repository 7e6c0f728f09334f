"""The steps of the lape analysis, one module each: from inputs and settings to a dataset."""
