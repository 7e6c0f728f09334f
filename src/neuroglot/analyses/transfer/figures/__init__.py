"""The figures of the transfer analysis, one module per set: ``FIGURES``, functions by stem."""
