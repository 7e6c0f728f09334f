"""The figures of the roles analysis, one module per set: ``FIGURES``, functions by stem."""
