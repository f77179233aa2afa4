"""What students may try: no attack gives an undeserved pass, and none stops the others."""

# ruff: noqa: E501 (a cell is read best in one piece)
from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile

import pytest
from grading import ASK, HALF, IMPORTS, RIGHT, ZERO, save

from segcore.grading import cage
from segcore.grading.grader import Grader, Options
from segcore.grading.submissions import Submission

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the cage is Linux's")
GOOD = RIGHT["13.2"]
RENAMED = GOOD.replace("def bilinear_sample", "def mine")
VARIED = 'bilinear_sample = check("13.2@yx-points", bilinear_sample)'
PASSED, REFUSED, PERSON = {"passed"}, {"failed"}, {"for a person"}
UNDECIDED = {"for a person", "failed", "error", "not reached"}
# A frame as the kernel sends it, forged.
FRAME = """
import json, os, struct
def frame(**tree):
    text = json.dumps({"sizes": [], "tree": tree}).encode()
    return struct.pack("<IQ", len(text), 0) + text
"""

# Name: (the cells after the imports, the states that are right, words of the reason)
ATTACKS = {
    "honest": ([GOOD, ASK], PASSED, ""),
    "wrong": ([HALF, ASK], REFUSED, "nearest"),
    "a variant": ([GOOD.replace("(points -", "(points.flip(-1) -"), VARIED], PASSED, ""),
    "a neighbour's variant": ([GOOD, VARIED], REFUSED, "as in the lab"),
    "the lab's own for a variant": (
        [
            'real = check("13.2", lambda x, p: 0)\ndef bilinear_sample(x, p):\n    return real(x, p.flip(-1))',
            VARIED,
        ],
        REFUSED,
        "the course's own",
    ),
    "what a variant's check returned": (
        ['real = check("13.2@yx-points", 0)\ndef bilinear_sample(x, p):\n    return real(x, p)', VARIED],
        REFUSED,
        "the course's own",
    ),
    "the engine patched": (
        [
            "import segcore.checks.engine as e, segcore.checks.compare as c, segcore.checks.exercise as x\n"
            "e.judge = e._run = lambda *a: None\n"
            "e.difference = c.difference = e._fault = lambda *a: None\n"
            "x.Exercise.make_cases = lambda *a: []\n"
            "object.__setattr__(exercise('13.2'), 'tolerance', 1e9)",
            ZERO,
            ASK,
        ],
        REFUSED,
        "",
    ),
    "the reference imported": (
        ['answer = exercise("13.2").reference', 'bilinear_sample = check("13.2", answer)'],
        REFUSED,
        "the course's own solution",
    ),
    "the library's function": (
        [
            "from segcore.roi_align import bilinear_sample as f\ndef bilinear_sample(x, p):\n    return f(x, p)",
            ASK,
        ],
        REFUSED,
        "the course's own",
    ),
    "imported inside": (
        [
            "def bilinear_sample(x, p):\n    from segcore.roi_align import bilinear_sample as f\n    return f(x, p)",
            ASK,
        ],
        REFUSED,
        "segcore.roi_align",
    ),
    "what check returned": (
        ['real = check("13.2", lambda x, p: 0)', "def bilinear_sample(x, p):\n    return real(x, p)", ASK],
        REFUSED,
        "the course's own",
    ),
    "a closure over it": (
        [
            'real = check("13.2", lambda x, p: 0)\ndef make(f):\n    def bilinear_sample(x, p):\n        return f(x, p)\n'
            "    return bilinear_sample\nbilinear_sample = make(real)",
            ASK,
        ],
        REFUSED,
        "the course's own",
    ),
    "found by gc": (
        [
            "import gc, types\nfs = [o for o in gc.get_objects() if isinstance(o, types.FunctionType)\n"
            "      and o.__name__ == 'bilinear_sample']\ndef bilinear_sample(x, p):\n    return fs[0](x, p)",
            ASK,
        ],
        UNDECIDED,
        "",
    ),
    "its code object": (
        [
            "import types\nr = exercise('13.2').reference\n"
            "bilinear_sample = types.FunctionType(r.__code__, r.__globals__, 'bilinear_sample')",
            ASK,
        ],
        UNDECIDED,
        "",
    ),
    "its source, run": (
        ["import inspect, segcore.checks.roi_align as m\nexec(inspect.getsource(m), globals())", ASK],
        UNDECIDED,
        "",
    ),
    "a package forged": (
        [
            "import segcore.grading.kernel as k\ntext = 'def f(x, p):\\n    return 1'\n"
            "k.pack = lambda *a: ({'target': {'source': 0}, 'names': {},\n"
            "                      'sources': [{'text': text, 'made': 'f', 'free': []}]}, [])",
            ZERO,
            ASK,
        ],
        PERSON,
        "stands in no cell",
    ),
    "an item with two faces": (
        [
            "import segcore.grading.kernel as k\npack = k.pack\ndef two(*a):\n    package, data = pack(*a)\n"
            "    package['names']['found'] = {'module': 'torch', 'from': 'segcore.roi_align', 'name': 'bilinear_sample'}\n"
            "    return package, data\nk.pack = two\ndef bilinear_sample(x, p):\n    return found(x, p)",
            ASK,
        ],
        PERSON,
        "no package",
    ),
    "code in a name": (
        [
            "import inspect, segcore.grading.kernel as k\nfrom segcore.roi_align import bilinear_sample as f\n"
            "pack, text = k.pack, inspect.getsource(inspect.getmodule(f))\ndef other(*a):\n"
            "    package, data = pack(*a)\n    package['names'] = {}\n"
            "    package['sources'][0]['free'] = [f'x=exec({text!r}, globals())']\n    return package, data\n"
            "k.pack = other\ndef bilinear_sample(x, p):\n    return bilinear_sample(x, p)",
            ASK,
        ],
        PERSON,
        "no package",
    ),
    "a later solution": (
        [
            "later = check('13.3', 0)\ndef bilinear_sample(x, p):\n"
            "    around = [later(x, torch.cat([q - 0.5, q + 0.5]), 1).flatten() for q in p]\n"
            "    return torch.stack(around, 1)",
            ASK,
        ],
        REFUSED,
        "the course's own solution of 13.3",
    ),
    "a service of the machine": (
        [
            "import socket\nwith socket.socket(socket.AF_UNIX) as line:\n    line.connect(SERVICE)\n    line.send(b'x')",
            GOOD,
            ASK,
        ],
        PASSED,
        "",
    ),
    "a parser that overflows": (["x = " + "-" * 5_000 + "1", "x = " + "(" * 5_000, GOOD, ASK], PASSED, ""),
    "a table of the cases": (
        [
            "e = exercise('13.2')\ntable = [(c.args[0].flatten().tolist(), e.reference(*c.args)) for c in e.make_cases(0)]\n"
            "def bilinear_sample(x, p):\n"
            "    return next(y for key, y in table if key == x.flatten().tolist() and y.shape[1] == len(p))",
            ASK,
        ],
        PERSON,
        "computed beforehand",
    ),
    "a small table, hidden in a number": (
        [
            "big = 7 ** 4000\ndef bilinear_sample(x, p):\n    return x.new_zeros(x.shape[0], len(p)) + big % 7",
            ASK,
        ],
        PERSON,
        "computed beforehand",
    ),
    "eval": (["def bilinear_sample(x, p):\n    return eval('x')", ASK], PERSON, "eval"),
    "a file read": (["def bilinear_sample(x, p):\n    return open('/etc/passwd')", ASK], PERSON, "open"),
    "a tensor that answers comparisons": (
        [
            "class Sly(torch.Tensor):\n    def __eq__(self, other):\n        return True\n"
            "    @classmethod\n    def __torch_function__(cls, f, types, args=(), kwargs=None):\n        return True\n"
            "def bilinear_sample(x, p):\n    return torch.zeros(x.shape[0], len(p)).as_subclass(Sly)",
            ASK,
        ],
        UNDECIDED,
        "",
    ),
    "an object that equals all": (
        [
            "class All:\n    def __eq__(self, other):\n        return True\n    shape = property(lambda self: self)\n"
            "def bilinear_sample(x, p):\n    return All()",
            ASK,
        ],
        REFUSED,
        "All",
    ),
    "a huge result": (
        ["def bilinear_sample(x, p):\n    return torch.zeros(1).expand(10 ** 12)", ASK],
        {"error"},
        "too large",
    ),
    "30 GB": (["x = torch.zeros(30 << 30, dtype=torch.uint8)", ZERO, ASK], REFUSED, ""),
    "30 GB in the answer": (
        ["def bilinear_sample(x, p):\n    return torch.ones(30 << 28)", ASK],
        {"error"},
        "",
    ),
    "check replaced": (["check = lambda name, f: f", ZERO, ASK], {"not reached"}, "did not run"),
    "forged frames": (
        [
            FRAME + "for fd in range(3, 40):\n    try:\n"
            "        os.write(fd, frame(op='sheet', sheet={'path': 'x', 'exercises': []}) + frame(op='verdict', state='passed'))\n"
            "    except OSError:\n        pass",
            ZERO,
            ASK,
        ],
        UNDECIDED,
        "",
    ),
    "garbage to the grader": (
        [
            "import os\nfor fd in range(3, 40):\n    try:\n        os.write(fd, b'\\xff' * 64)\n    except OSError:\n        pass",
            ZERO,
            ASK,
        ],
        UNDECIDED,
        "",
    ),
    "the process ends": (["import os\nos._exit(0)", GOOD, ASK], {"not reached"}, "the kernel died"),
    "a crash": (["import ctypes\nctypes.string_at(0)", GOOD, ASK], {"not reached"}, "the kernel died"),
    "all are killed": (
        [
            "import os, signal\nfor target in (os.getppid(), -1, 1):\n    try:\n        os.kill(target, signal.SIGKILL)\n"
            "    except OSError:\n        pass",
            GOOD,
            ASK,
        ],
        PASSED | {"not reached"},
        "",
    ),
    "endless, and deaf": (
        ["import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass", GOOD, ASK],
        {"not reached"},
        "could not be stopped",
    ),
    "endless printing": (["while True:\n    print('on and on')", GOOD, ASK], PASSED, ""),
    "a process left behind": (
        [
            "import os, subprocess\nif os.fork() == 0:\n    os.setsid()\n"
            "    subprocess.Popen(['sleep', '98765.4321'], start_new_session=True)\n    os._exit(0)",
            GOOD,
            ASK,
        ],
        PASSED,
        "",
    ),
    "files deleted": (
        [
            "import pathlib\nfor path in pathlib.Path(ROOM).rglob('*'):\n    try:\n        path.unlink()\n"
            "    except OSError:\n        pass",
            GOOD,
            ASK,
        ],
        PASSED,
        "",
    ),
    "a neighbour's read": (
        ["text = open(ROOM + '/honest/lab.ipynb').read()\nexec(text)", ZERO, ASK],
        REFUSED,
        "",
    ),
    "packages installed": (
        ["%pip install nothing-of-this-name\n!pip install nothing-of-this-name", GOOD, ASK],
        PASSED,
        "",
    ),
    "the network": (
        ["import socket\nsocket.create_connection(('127.0.0.1', PORT), 2)\nopen('reached', 'w')", GOOD, ASK],
        PASSED,
        "",
    ),
}
HOLDS = cage.what_holds() if sys.platform == "linux" else {}
if not HOLDS.get("processes and network"):
    del ATTACKS["all are killed"]  # it would kill these tests


@pytest.fixture(scope="module")
def class_of_attackers(tmp_path_factory):
    """All of them in one class, graded once."""
    import socket

    room = tmp_path_factory.mktemp("class")
    submissions = []
    place = tempfile.mkdtemp()  # a socket's path must be short
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as service:
        server.setblocking(False)
        service.setblocking(False)
        service.bind(f"{place}/service")
        service.listen()
        own = f"ROOM = {str(room)!r}\nPORT = {server.getsockname()[1]}\nSERVICE = '{place}/service'\n"
        for name, (cells, _, _) in ATTACKS.items():
            path = save(room / name / "lab.ipynb", own + IMPORTS, *cells)
            submissions.append(Submission(name, name, path))
        (room / "honest" / "torch.py").write_text("raise SystemExit('shadowed')")
        before = {path: path.read_bytes() for path in room.rglob("*") if path.is_file()}
        options = Options(timeout=6, jobs=2, only=["13.2"], hidden=[str(room)])
        with Grader(options) as grader:
            sheets = {sheet.path: sheet for _, sheet in grader.grade(submissions, (11, 12))}
        reached = False
        for each in (server, service):
            with contextlib.suppress(BlockingIOError):
                each.accept()[0].close()
                reached = True
    shutil.rmtree(place)
    after = {path: path.read_bytes() for path in room.rglob("*") if path.is_file()}
    return sheets, before == after, reached


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_gives_what_is_not_deserved(class_of_attackers, name):
    sheet = class_of_attackers[0][name]
    _, states, words = ATTACKS[name]
    (result,) = sheet.results
    assert result.state in states, (result.state, result.reason, sheet.problem)
    assert words in f"{result.reason} {result.mistake}", result.reason
    assert result.points == (result.state == "passed")


def test_nothing_is_left_behind(class_of_attackers):
    assert len(class_of_attackers[0]) == len(ATTACKS)
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 98765.4321" not in found


def test_no_file_of_a_neighbour_is_touched(class_of_attackers):
    if not HOLDS["files"]:
        pytest.skip("this system keeps no files apart")
    assert class_of_attackers[1]


def test_no_connection_is_made(class_of_attackers):
    if not HOLDS["processes and network"]:
        pytest.skip("this system keeps no network apart")
    assert not class_of_attackers[2]
