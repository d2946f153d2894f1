"""`python -m camml` is the command `camml`."""

import sys

from camml.cli import main

sys.exit(main())
