"""The figures of the sharing analysis, one module per set: ``FIGURES``, functions by stem."""
