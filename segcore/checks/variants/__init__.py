"""Variants of the labs' exercises: other conventions, axis orders, labels and ranges, checked alike.

``chapters/<slug>.py`` lists what can be different in a chapter's exercises, `making` makes variants of it,
`choosing` finds one by its name or by what a student's lab calls it, `wording` says the task, and `handing`
writes a lab in which each student has variants of their own. Other variants are met in ``review``.
"""

from segcore.checks.variants.choosing import token, variant, variants, varied
from segcore.checks.variants.making import Twist, Variant, Varied

__all__ = ["Twist", "Variant", "Varied", "token", "variant", "variants", "varied"]
