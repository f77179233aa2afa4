"""Whose variant a hand-in answers: the ids in the notebook beside those that `variant` gives the student.

The id of a variant, ``13.2@k3f90d``, follows from the student's name and the lecturer's word. The grader
knows the student by the name of the folder or the file, or by a roster that says which hand-in is whose; what
the notebook says of itself does not count. An answer to an id that is not the student's own is never passed:
it is for a person, who can ask how it came there.

A judgement is kept as the judge gave it until it is compared, and can be compared again with another roster.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segcore.checks.variants.handing import own_ids
from segcore.checks.variants.roster import Student, same
from segcore.grading.results import Result, Sheet

__all__ = ["KIND", "Owners", "shared", "uncompared"]

KIND = "variant"  # of a result that would have passed, had the id been the student's own
OWN, OTHER, COURSE, NOBODY = "own", "another student's", "the course's", "no student"


class Owners:
    """Knows which ids are whose.

    Args:
        key: The word that ``variant --key`` was given.
        roster: The class; without one, the name of a hand-in is the student.
        present: The students of the hand-ins, to name one whose variant another answered.
    """

    def __init__(self, key: str = "", roster: Sequence[Student] = (), present: Iterable[str] = ()) -> None:
        self.key = key
        self.by_name = {same(each.name): each.name for each in roster}
        self.by_file = {same(called): each.name for each in roster for called in each.files}
        self.everybody = [each.name for each in roster] or list(dict.fromkeys(present))
        self._owners: dict[str, dict[str, list[str]]] = {}

    def students(self, sheet: Sheet) -> list[str]:
        """Who a hand-in is from, as `variant` may have been told; empty where the roster lacks it."""
        if not self.by_name and not self.by_file:
            return list(dict.fromkeys([sheet.student, sheet.student.replace("_", " ")]))
        parts = [sheet.student, *reversed(sheet.path.split("/"))]
        for part in parts:
            for name in (part, part[:-6] if part.lower().endswith(".ipynb") else part):
                if found := self.by_file.get(same(name)):
                    return [found]
        found = self.by_name.get(same(sheet.student))
        return [found] if found is not None else []

    def compare(self, sheet: Sheet) -> Sheet:
        """Say of each exercise that has variants whose it is; the sheet itself is changed.

        Args:
            sheet: Of one hand-in, compared before or not.
        """
        students = [each for each in self.students(sheet) if each.strip()]
        for result in sheet.results:
            _restore(result)
            base, _, token = result.exercise.partition("@")
            known = [own_ids(base.partition(".")[0], each, self.key).get(base) for each in students]
            if not token and (result.state == "not reached" or base not in self._ids(base)):
                continue  # it has no variants, or the notebook does not say which it answers
            if not students:
                result.variant = NOBODY
            elif result.exercise in known:
                result.variant = OWN
            else:
                result.variant = OTHER if token else COURSE
            if result.variant != OWN and result.state == "passed":
                result.state, result.points, result.kind = "for a person", 0, KIND
                result.reason = self._reason(result, sheet)
        return sheet

    def _ids(self, base: str) -> set[str]:
        return set(own_ids(base.partition(".")[0], "anybody"))

    def _reason(self, result: Result, sheet: Sheet) -> str:
        if result.variant == NOBODY:
            return f"the roster names no student for the hand-in {sheet.student!r}"
        if result.variant == COURSE:
            return "answers the course's own exercise, not this student's variant"
        chapter = result.exercise.partition(".")[0]
        if chapter not in self._owners:
            owners = self._owners[chapter] = {}
            for each in filter(str.strip, self.everybody):
                for own in own_ids(chapter, each, self.key).values():
                    owners.setdefault(own, []).append(each)
        found = self._owners[chapter].get(result.exercise, [])
        return "answers another student's variant" + (f", that of {', '.join(found)}" if found else "")

    def words(self, sheets: Sequence[Sheet]) -> list[str]:
        """What the comparison came to, in sentences.

        Args:
            sheets: Of all hand-ins, compared.
        """
        said = []
        results = [result for sheet in sheets for result in sheet.results if result.variant]
        strange = [each for each in results if each.variant != OWN]
        if strange:
            held = sum(each.kind == KIND for each in strange)
            said.append(
                f"{len(strange)} of {len(results)} exercises with variants are not the student's own; "
                f"{held} of these would have passed and are for a person"
            )
        if len(results) > 1 and len(strange) == len(results):
            said.append("no id is its student's: is the word of --key, or its lack, that of `variant`?")
        by_student: dict[str, list[str]] = {}
        for sheet in sheets if self.by_name or self.by_file else ():
            chapters = sorted({each.exercise.partition(".")[0] for each in sheet.results})
            for each in self.students(sheet):
                by_student.setdefault(f"{each}, chapter {' and '.join(chapters)}", []).append(sheet.path)
        for student, paths in by_student.items():
            if len(paths) > 1:
                said.append(f"by the roster {len(paths)} hand-ins are those of {student}: {', '.join(paths)}")
        return said


def _restore(result: Result) -> None:
    """What the judge said, before anything was compared."""
    if result.kind == KIND:
        result.state, result.points, result.kind, result.reason = "passed", result.possible, "", ""
    result.variant = ""


def uncompared(sheets: Iterable[Sheet]) -> bool:
    """Whether hand-ins answer variants, and nobody asked whose."""
    return any("@" in each.exercise and not each.variant for sheet in sheets for each in sheet.results)


def shared(sheets: Iterable[Sheet]) -> list[str]:
    """Ids of variants that hand-ins of several students answer, in sentences: each belongs to one.

    Args:
        sheets: Of all hand-ins.
    """
    found: dict[str, dict[str, None]] = {}
    for sheet in sheets:
        for each in sheet.results:
            if "@" in each.exercise:
                found.setdefault(each.exercise, {})[sheet.student] = None
    return [
        f"{name} belongs to one student, and {len(students)} hand it in: {', '.join(students)}"
        for name, students in found.items()
        if len(students) > 1
    ]
