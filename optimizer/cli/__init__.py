"""Commands of the ``optimizer`` program, one concern a file. Each module offers ``register(app)`` or options."""
