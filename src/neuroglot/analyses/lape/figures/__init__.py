"""The figures of the lape analysis, one module per set: ``FIGURES``, functions by stem."""
