"""`python -m services.evaluator`."""

from services.evaluator.service import main
from services.evaluator.settings import EvaluatorSettings
from services.runtime.application import run_service

run_service("evaluator", EvaluatorSettings, main)
