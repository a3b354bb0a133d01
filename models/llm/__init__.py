"""What the engine ``llm`` is made of: its prompt, in words and in tokens, and what runs the model."""
