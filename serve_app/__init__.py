"""The service: FastAPI on Ray Serve, the job registry, and the embedded stack."""
