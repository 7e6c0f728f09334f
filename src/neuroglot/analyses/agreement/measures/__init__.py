"""The measures of the agreement analysis: xarray or numpy in and out, no model, no file."""
