"""``python -m edgebit`` is ``edgebit``."""

import sys

from edgebit.cli import main

sys.exit(main())
