"""The figures of the sharing analysis, one module per family: ``FIGURES``, functions by stem."""
