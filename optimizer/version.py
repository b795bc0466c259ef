"""The version of the product, in a module that imports nothing, so that any room may name it."""

__version__ = "0.2.0"
