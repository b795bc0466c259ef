"""How text is written so that it stays text: quoted for each language, YAML by a library."""
