"""The figures of the routing analysis, one module per set: ``FIGURES``, functions by stem."""
