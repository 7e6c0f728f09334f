"""The sharing analysis' figures: a module per family, with `FIGURES`, a function for each stem."""
