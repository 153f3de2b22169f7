"""`python -m services.evaluator`.

A failed stop can leave work in threads behind, such as a compaction; the process must end all the same, so that its
supervisor starts it again. Nothing is lost by it: the next start fences and replays.
"""

import logging
import os
import sys

from services.evaluator.allocator import give_freed_memory_back
from services.evaluator.service import main
from services.evaluator.settings import EvaluatorSettings
from services.runtime.application import EXIT_FAILED, run_service

give_freed_memory_back()
try:
    run_service("evaluator", EvaluatorSettings, main)
except SystemExit as end:
    logging.shutdown()
    sys.stdout.flush()
    os._exit(end.code if isinstance(end.code, int) else EXIT_FAILED)
