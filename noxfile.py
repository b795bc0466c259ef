"""The daily commands: ``nox -s tests``, ``nox -s lint``, ``nox -s docs``; each in an environment of its own."""

import nox

nox.options.sessions = ["lint", "tests"]


@nox.session
def tests(session: nox.Session) -> None:
    """Every test, or those named after ``--``."""
    session.install("-e", ".[dev]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types and the import contract."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation with the API reference, into ``site/``."""
    session.install("-e", ".[docs]")
    session.run("mkdocs", "build", "--strict")
