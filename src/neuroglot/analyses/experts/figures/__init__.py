"""The figures of the experts analysis, one module per family: ``FIGURES``, drawings by stem."""
