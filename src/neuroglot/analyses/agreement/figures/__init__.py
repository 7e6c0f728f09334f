"""The figures of the agreement analysis, one module per family: ``FIGURES``, functions by stem."""
