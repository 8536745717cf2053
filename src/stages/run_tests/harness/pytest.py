"""The few parts of pytest that tests of functions use. It is found instead of pytest, whose start costs more than a test."""

import re
import math


class raises:
    def __new__(cls, expected, function=None, *args, match=None, **kwargs):
        self = object.__new__(cls)
        self.expected, self.match, self.value, self.type = expected, match, None, None
        if function is None:
            return self
        with self:
            function(*args, **kwargs)
        return self

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            raise AssertionError("did not raise %s" % getattr(self.expected, "__name__", self.expected))
        if not issubclass(kind, self.expected):
            return False
        if self.match and not re.search(self.match, str(value)):
            raise AssertionError("%r does not match %r" % (str(value), self.match))
        self.value, self.type = value, kind
        return True


class approx:
    def __init__(self, expected, rel=1e-6, abs=1e-12, nan_ok=False):
        self.expected, self.rel, self.abs, self.nan_ok = expected, rel or 0, abs or 0, nan_ok

    def near(self, actual, expected):
        if isinstance(expected, dict):
            return actual.keys() == expected.keys() and all(self.near(actual[k], expected[k]) for k in expected)
        if isinstance(expected, (list, tuple)):
            return len(actual) == len(expected) and all(map(self.near, actual, expected))
        if isinstance(expected, float) and math.isnan(expected):
            return self.nan_ok and math.isnan(actual)
        return actual == expected or abs(actual - expected) <= max(self.rel * abs(expected), self.abs)

    def __eq__(self, actual):
        return bool(self.near(actual, self.expected))

    def __repr__(self):
        return "approx(%r)" % (self.expected,)


def fail(reason="", pytrace=True):
    raise AssertionError(reason)


def skip(reason=""):
    raise RuntimeError("skipped: " + reason)


def fixture(*args, **kwargs):
    raise RuntimeError("pytest's fixtures are not supported")


class Mark:
    def parametrize(self, names, rows, **kwargs):
        several = "," in names if isinstance(names, str) else len(names) > 1

        def mark(function):
            before = getattr(function, "parametrized", [()])
            own = [tuple(row) if several else (row,) for row in rows]
            function.parametrized = [args + more for args in own for more in before]
            return function

        return mark

    def __getattr__(self, name):
        return lambda *args, **kwargs: args[0] if args and callable(args[0]) else lambda function: function


mark = Mark()


def param(*values, **kwargs):
    return values if len(values) > 1 else values[0]
