"""The measures of the routing analysis: xarray or numpy in and out, no model, no file."""
