"""The figures of the lape analysis, one module per family: `FIGURES`, a drawing function by stem."""
