"""Text classifiers: a task (labels and what is known of them) and texts in, predictions out. No Ray, S3 or HTTP."""
