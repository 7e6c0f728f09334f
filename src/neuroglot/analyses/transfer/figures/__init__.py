"""The figures of the transfer analysis, one module per family: `FIGURES`, a drawing function by stem."""
