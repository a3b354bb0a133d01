"""``labelworks doctor``: what keeps a deployment from working, in plain words."""
