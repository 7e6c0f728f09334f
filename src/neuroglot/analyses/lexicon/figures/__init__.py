"""The figures of the lexicon analysis, one module per set: ``FIGURES``, functions by stem."""
