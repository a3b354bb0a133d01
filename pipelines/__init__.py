"""One job as a Ray Data pipeline over S3: plan, scan, classify, join. Knows nothing of HTTP."""
