"""The figures of the lexicon analysis, one module per family: ``FIGURES``, functions by stem."""
