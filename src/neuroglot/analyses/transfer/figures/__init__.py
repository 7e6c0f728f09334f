"""The figures of the transfer analysis, one module per family: ``FIGURES``, functions by stem."""
