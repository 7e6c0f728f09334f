"""One function per published figure: a Dataset in, a matplotlib Figure out."""
