"""The figures of the experts analysis, one module per family: `FIGURES`, a drawing function by stem."""
