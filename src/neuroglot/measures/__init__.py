"""Pure functions, xarray in, xarray out: one file per measure."""
