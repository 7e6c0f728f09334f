"""The figures of the experts analysis, one module per set: ``FIGURES``, drawings by stem."""
