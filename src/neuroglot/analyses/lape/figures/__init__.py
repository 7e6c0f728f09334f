"""The figures of the lape analysis, one module per family: ``FIGURES``, functions by stem."""
