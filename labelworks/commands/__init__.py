"""The commands of ``labelworks``, a file for each group of them."""
