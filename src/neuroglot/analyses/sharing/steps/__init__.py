"""The steps of the sharing analysis, one module each: from inputs and settings to a dataset."""
