"""The figures of the boost analysis, one module per set: ``FIGURES``, drawings by stem."""
