"""The client and command line of Labelworks."""
