"""The figures of the sharing analysis, one module per family: `FIGURES`, a drawing function by stem."""
