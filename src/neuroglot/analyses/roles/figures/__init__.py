"""The figures of the roles analysis, one module per family: ``FIGURES``, functions by stem."""
