"""``python -m labelworks`` is the ``labelworks`` command."""

from labelworks.cli import main

main()
