"""The figures of the roles analysis, one module per family: `FIGURES`, a drawing function by stem."""
