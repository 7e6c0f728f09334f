"""The figures of boost, one module per family: ``FIGURES``, a drawing function by stem."""
