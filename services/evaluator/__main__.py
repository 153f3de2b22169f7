"""`python -m services.evaluator`."""

from services.evaluator.allocator import give_freed_memory_back
from services.evaluator.service import main
from services.evaluator.settings import EvaluatorSettings
from services.runtime.application import run_service

give_freed_memory_back()
run_service("evaluator", EvaluatorSettings, main)
