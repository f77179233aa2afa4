"""Review from the terminal: variants of exercises that are due, spaced by how well they went.

`schedule` says when an exercise comes again, `memory` keeps that in a file, `command` is
``python -m segcore review``.
"""
