"""The scripts' shared package is importable from here, as it is for the scripts themselves."""

from __future__ import annotations

import sys

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
