"""One file an engine. Each has ``load`` and ``load_token_counter``; models/registry.py lists them."""
