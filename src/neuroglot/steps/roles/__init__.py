"""The reductions of the roles paper, one file each: ``compute`` and the variables of its table."""
