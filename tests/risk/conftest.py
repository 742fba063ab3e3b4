"""Makes ``decision_room`` of the step tests and ``walk`` of the topology tests importable."""

import sys
from pathlib import Path

for folder in ("step", "topology"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
