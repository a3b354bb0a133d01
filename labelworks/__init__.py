"""The client and command line of Labelworks."""

from labelworks.client import AsyncLabelworks, Labelworks

__all__ = ["AsyncLabelworks", "Labelworks"]
