"""Worked additions to the product, each applied to a copy and tested there: the templates that CONTRIBUTING.md refers to."""
