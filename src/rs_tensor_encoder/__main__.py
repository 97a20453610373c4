"""``python -m rs_tensor_encoder`` is the command ``rs-tensor-encoder``."""

import sys

from rs_tensor_encoder.cli import main

sys.exit(main())
