"""Makes `tiny` importable, here and in the scripts that run as processes of their own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
