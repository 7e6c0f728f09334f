"""The figures of the boost analysis, one module per family: ``FIGURES``, drawings by stem."""
