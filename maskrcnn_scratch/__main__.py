"""``python -m maskrcnn_scratch`` is the command ``maskrcnn-scratch``."""

import sys

from maskrcnn_scratch.cli import main

sys.exit(main())
