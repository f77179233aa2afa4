"""Grading a class: what students hand in is run apart, and only the grader gives a result.

The rooms, from the hand-in to the table:

- `collecting` finds notebooks in folders and zips; `submissions` reads them; `journal` keeps what is done.
- `grader` marks hand-ins side by side; `nursery` is the process of which all others are forks.
- `marker` takes one hand-in from cell to cell; `kernel` is the process that runs the cells; `packing` turns a
  function into its source and what that needs; `vetting` says whether that may be judged, and `reaching` what
  its code reaches for.
- `judge` is the process that runs the function, with nothing of the course in it; `court` gives it the cases
  and compares what comes back; `remote` and `wire` are the line between them; `cage` is what holds them.
- `owners` says whose variants hand-ins answer; `results`, `report` and `similar` what came of it.
"""
