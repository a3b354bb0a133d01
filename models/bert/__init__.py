"""A BERT sentence encoder on the CPU, without torch: ``minilm`` is one."""
