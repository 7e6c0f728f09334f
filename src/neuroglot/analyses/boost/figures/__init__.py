"""The figures of the boost analysis, one module per family: `FIGURES`, a drawing function by stem."""
