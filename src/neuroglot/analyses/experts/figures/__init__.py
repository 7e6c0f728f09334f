"""The figures of the experts analysis, one module per family: ``FIGURES``, functions by stem."""
