"""What a report says: sections of typed blocks, each figure with its derivation. Pure data; ``render`` makes it readable."""
