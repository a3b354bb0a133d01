"""The whole service on one machine: an S3 server, a local Ray and Serve, kept in one folder."""
