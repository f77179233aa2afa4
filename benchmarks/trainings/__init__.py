"""Trainings that are too long for a page. ``python -m benchmarks.trainings SLUG --seeds 0 1 2 --write``.

A chapter takes part with a module ``benchmarks/trainings/slug.py`` that has ``run(seed)``: it trains with
`segcore.train.fit`, counts steps and not seconds, and returns a dict of what JSON can hold. ``--write`` keeps
the results in ``book/results/slug.json``, where the page reads them; seeds that were not run now stay.
"""
