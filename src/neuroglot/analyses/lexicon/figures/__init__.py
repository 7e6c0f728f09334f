"""The figures of the lexicon analysis, one module per family: `FIGURES`, a drawing function by stem."""
