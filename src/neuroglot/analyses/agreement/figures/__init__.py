"""The figures of agreement, one module per family: ``FIGURES``, a drawing function by stem."""
