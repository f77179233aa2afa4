"""How long a class takes to grade, how many planted mistakes are named: ``python -m benchmarks.grading``."""
