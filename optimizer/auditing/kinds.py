"""Words beside a figure that say it is of a kind or a whole: one kind of layer, a window, weights that are not divided."""

from __future__ import annotations

import re

OF_A_KIND_OF_LAYER = re.compile(
    r"\b(?:global|local|sliding[- ]window|sliding|windowed|full[- ]attention|globalen?|lokalen?|gleitenden?|dense|MoE)\s"
    r"(?:attention\s)?(?:layers?|Schichten|Schicht)\b|\bcouches\s(?:globales?|locales?|glissantes?|à fenêtre)\b"
    r"|\b(?:such|those|these|solche\w*|diese\w*|telles|ces)\s(?:\w+\s)?(?:layers?|Schichten|couches)\b",
    re.IGNORECASE,
)
"""``the ten global layers need 80 KiB per token``: a part of the cache, which has layers of another kind too."""

WINDOW = re.compile(
    r"\b(?:sliding|gleitend\w*|glissante?s?|local|lokale\w*)\b[^,;.]{0,12}?\b(?:windows?|Fensters?|fenêtres?)\b[^,;.\d]{0,12}$"
    r"|\bfenêtre glissante\b[^,;.\d]{0,12}$",
    re.IGNORECASE,
)
"""``a sliding window of 1,024 tokens``: what a layer sees, and no limit of the context."""

UNDIVIDED = re.compile(
    r"\b(?:unsharded|undivided|unsplit|in one piece|not (?:sharded|split)|without (?:sharding|splitting)|ungeteilt\w*|unaufgeteilt\w*"
    r"|am Stück|ohne Aufteilung|non (?:réparti|divisé|découpé)\w*|sans (?:répartition|découpage)|en un seul morceau)\b"
    r"|\b(?:fits?|passen|passt|tien(?:t|nent)|loge(?:nt)?)\s(?:\w+\s){0,2}?(?:on|onto|in|into|auf|sur|dans)\s(?:a single|only one"
    r"|just one|one"
    r"|eine einzige|eine einzelne|eine|une seule|une unique)\s(?:GPU|card|Karte|carte|[A-Z]{1,3}\d{1,3}X?S?)\b"
    r"|\bune seule carte\b[^.;]{0,25}\b(?:suffit|peut|contient)|\b(?:a single|one) (?:card|GPU)\b[^.;]{0,25}\b(?:is enough|suffices"
    r"|holds|can hold)\b|\beine (?:einzige |einzelne )?Karte\b[^.;]{0,25}\b(?:reicht|genügt|fasst)\b",
    re.IGNORECASE,
)
"""``even unsharded, the 54 GB fit on one card``: all of the weights, whatever the strategy divides."""

DIVIDED_INTO = re.compile(
    r"[\s-](?:\w+[\s/-]){0,3}?(?:over|across|auf|bei|with|mit|sur|avec|à)\s[^,;.]{1,20}?\s?"
    r"(?:leaves?|gives?|makes?|are|is|ergeben|ergibt|sind|lassen|lässt|bleiben|laissent|donnent|font)\s",
    re.IGNORECASE,
)
"""``8 KV heads over TP8 leave one per GPU``: what is divided is the whole; what is per GPU stands behind."""

WAYS = re.compile(r"[\s-]?(?:way|fold|fach\w*)\b", re.IGNORECASE)
"""``the sixteen-way instance``: into how many parts, and no count of what stands behind."""
