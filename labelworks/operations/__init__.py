"""What the client does, as generators without IO: they yield effects, which a driver (sync or async) performs."""
