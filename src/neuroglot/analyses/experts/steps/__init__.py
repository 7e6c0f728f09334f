"""The steps of the experts analysis, one module each: from inputs and settings to a dataset."""
