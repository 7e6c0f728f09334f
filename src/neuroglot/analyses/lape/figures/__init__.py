"""The figures of lape, one module per family: ``FIGURES``, a drawing function by stem."""
