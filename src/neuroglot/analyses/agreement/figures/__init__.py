"""The figures of the agreement analysis, one module per set: ``FIGURES``, functions by stem."""
