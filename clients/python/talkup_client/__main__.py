"""`python -m talkup_client` is the command where its script is not on the path."""

import sys

from talkup_client.cli import main

sys.exit(main())
