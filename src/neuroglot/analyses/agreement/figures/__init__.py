"""The figures of the agreement analysis, one module per family: `FIGURES`, a drawing function by stem."""
