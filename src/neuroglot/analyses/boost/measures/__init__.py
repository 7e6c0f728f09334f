"""The measures of the boost analysis: xarray or numpy in and out, no model, no file."""
