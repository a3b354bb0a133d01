"""The whole service on one machine: an S3 server, a local Ray and Serve, kept in one folder."""

import os

# Before Ray is imported: it then takes this machine's loopback address for its node's, not one that others can reach.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
