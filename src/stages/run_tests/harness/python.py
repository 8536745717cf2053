"""Runs one test of a solution and reports how it went.

Usage: `_harness.py [NAME]`, where NAME is a test function or `Class.method`. The secret that makes a report credible
is on standard input. It stays there, unread, until the test has ended, so that neither the solution nor the test has
it. The test is rewritten before the solution runs: each check (an `assert`, an `assert...` call, an exception that
must be raised) counts itself, and one that fails is remembered even if the test swallows the exception.

The report is a line: the secret, a word (passed, failed, error, out_of_memory), and a message.
"""

import ast
import os
import sys

import _checks
from _checks import describe

LINE = 3500  # Of a report, in bytes: short enough to be written at once.


def main():
    secret, out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    read, write, leave = os.read, os.write, os._exit
    # What traces a check could change its values.
    sys.settrace = sys.setprofile = lambda function: None
    if hasattr(sys, "monitoring"):
        del sys.monitoring
    only = sys.argv[1] if len(sys.argv) > 1 else None
    sys.argv[:] = ["solution.py"]
    code, test = source("solution.py"), source("_test.py")
    for name in ("_harness.py", "_checks.py", "_test.py"):
        os.unlink(name)
    try:
        kind, message = run(code, test, only)
    except BaseException as error:  # Even one that the solution throws into us is no proof.
        kind, message = "error", describe(error)
    line = (" " + kind + " " + message).encode("utf-8", "replace")[:LINE] + b"\n"
    nonce = read(secret, 64)
    write(out, b"\n" + nonce + line)
    leave(0)


def source(path):
    with open(path, encoding="utf-8", newline=None) as file:
        return file.read()


def run(code, test, only):
    try:
        prepared = Prepared(test, only)
    except (SyntaxError, ValueError, RecursionError) as error:
        return "error", "the test is not valid: " + describe(error)
    # The solution finds no module of ours, whose functions it could replace.
    hidden = [sys.modules.pop(name) for name in ("__main__", "_checks")]
    sys.modules["__main__"] = type(sys)("__main__")
    module = type(sys)("solution")
    module.__file__ = os.path.abspath("solution.py")
    sys.modules["solution"] = module
    names = module.__dict__
    try:
        exec(compile(code, "solution.py", "exec", dont_inherit=True), names)
    except MemoryError:
        return "out_of_memory", "the code ran out of memory"
    except SystemExit as error:
        return "error", "the code ended the program: " + describe(error)
    except BaseException as error:
        return "error", describe(error)
    sys.modules["solution"] = module
    raised = None
    try:
        prepared.run(names)
    except MemoryError:
        return "out_of_memory", "the test ran out of memory"
    except BaseException as error:
        raised = error
    del hidden
    return prepared.verdict(raised)


class Prepared:
    """A test, compiled before the solution runs."""

    def __init__(self, test, only):
        tree = ast.parse(test, "_test.py")
        self.entries = list(entries(tree, only))
        rewriter = _checks.Rewriter(tree)
        tree = ast.fix_missing_locations(rewriter.visit(tree))
        self.passed, self.failures, hooks = _checks.hooks(rewriter.sources)
        self.code = _checks.bind(compile(tree, "_test.py", "exec", dont_inherit=True), hooks)
        self.report, self.assertion, self.execute = describe, AssertionError, exec

    def run(self, names):
        self.execute(self.code, names)
        for owner, name in self.entries:
            run_entry(names[owner], name)

    def verdict(self, raised):
        if self.failures:
            text = self.failures[0]
            own = self.report(raised) if isinstance(raised, self.assertion) else ""
            note = own.partition(": ")[2]
            return "failed", text if not note or note in text or text[1:-1] in note else text + " (" + note + ")"
        if isinstance(raised, self.assertion):
            return "failed", self.report(raised)
        if isinstance(raised, SystemExit):
            return "error", "the program was ended: " + self.report(raised)
        if raised is not None:
            return "error", self.report(raised)
        if not self.passed[0]:
            return "error", "the test checks nothing"
        return "passed", ""


def entries(tree, only):
    """The test functions and methods to be called, as pairs of a name and the method or nothing."""
    if only:
        owner, _, name = only.partition(".")
        yield owner, name
        return
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
            if node.decorator_list or not needs_arguments(node.args):
                yield node.name, ""
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                is_function = isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
                if is_function and method.name.startswith("test"):
                    yield node.name, method.name


def needs_arguments(args):
    return len(args.posonlyargs) + len(args.args) > len(args.defaults) or None in args.kw_defaults


def run_entry(owner, method):
    if not method:
        for args in getattr(owner, "parametrized", [()]):
            finish(owner(*args))
        return
    if hasattr(owner, "debug"):
        owner.setUpClass()
        owner(method).debug()
        return
    one = owner()
    for name in ("setup_method", method):
        if hasattr(one, name):
            for args in getattr(getattr(one, name), "parametrized", [()]):
                finish(getattr(one, name)(*args))


def finish(result):
    if hasattr(result, "__await__"):
        import asyncio

        asyncio.run(result)


if __name__ == "__main__":
    main()
