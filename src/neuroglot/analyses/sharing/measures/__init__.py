"""The measures of the sharing analysis: xarray or numpy in and out, no model, no file."""
