"""Has a test count its own checks.

`Rewriter` puts a hook in the place of each check of a test, and `bind` puts the functions that count into the compiled
test. They are values in its code, so that no name leads to them. Loaded by `_harness.py` before the solution runs.
"""

import ast

SHOWN = 160  # The most characters of a value or a piece of code.


def describe(error):
    """The last line that a traceback would have, with the line of the solution, if it is there."""
    kind = type(error)
    try:
        text = str(error)
    except BaseException:
        text = ""
    if isinstance(error, SyntaxError):
        place = " (%s, line %s)" % (error.filename, error.lineno) if error.lineno else ""
        return flat("%s: %s%s" % (kind.__name__, error.msg, place))
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "solution.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    place = " (solution.py, line %d)" % line if line else ""
    return flat("%s%s%s" % (kind.__name__, ": " + text if text else "", place), 600)


def flat(text, most=SHOWN):
    text = " ".join(text[: 4 * most].split())
    return text if len(text) <= most else text[: most - 3] + "..."


def shown(value):
    try:
        return flat(repr(value))
    except BaseException as error:
        return "an object whose repr raises " + type(error).__name__


def hooks(sources):
    """The functions that count, the number of passed checks, and the failures as texts."""
    passed, failures = [0], []
    error, probe = AssertionError, Probe()
    describe_value, kind, text_of = shown, type, describe

    def failed(index, detail=""):
        failures.append("`%s`%s" % (sources[index], detail))

    def is_fake(one, other):
        """Whether an object of the solution calls itself equal to everything."""
        for value in (one, other):
            code = getattr(getattr(kind(value), "__eq__", None), "__code__", None)
            if code is not None and code.co_filename == "solution.py":
                try:
                    if (value == probe) is True:
                        return True
                except BaseException:
                    pass
        return False

    def check(value, index, counts=True):
        if value:
            passed[0] += counts
            return True
        detail = "" if value is False else ": it is " + describe_value(value)
        failed(index, detail if counts else "")
        return False

    def compare(left, right, index, op):
        result = OPERATORS[op](left, right)
        fake = op == "Eq" and is_fake(left, right)
        if result and not fake:
            passed[0] += 1
            return True
        note = ", an object that equals everything" if fake else ""
        failed(index, ": the left side is %s%s" % (describe_value(left), note))
        return False

    def call(function, index, /, *args, **kwargs):
        try:
            result = function(*args, **kwargs)
        except error as raised:
            failed(index, ": " + text_of(raised))
            raise
        if len(args) > 1 and is_fake(args[0], args[1]):
            failed(index, ": an object that equals everything")
        elif hasattr(kind(result), "__exit__") and not (len(args) > 1 and callable(args[1])):
            return Expecting(result, index, passed, failed)
        else:
            passed[0] += 1
        return result

    def reached(index):
        passed[0] += 1

    def wrong(value, index):
        """The condition of `if ...: raise AssertionError`."""
        if value:
            failed(index)
            return True
        passed[0] += 1
        return False

    return passed, failures, {"check": check, "compare": compare, "call": call, "reached": reached,
                              "wrong": wrong, "error": error}


class Probe:
    """What nothing is equal to."""


class Expecting:
    """A context manager that is a check, such as `assertRaises`."""

    def __init__(self, inner, index, passed, failed):
        self.inner, self.count = inner, (index, passed, failed)

    def __enter__(self):
        return self.inner.__enter__()

    def __exit__(self, *raised):
        index, passed, failed = self.count
        try:
            result = self.inner.__exit__(*raised)
        except AssertionError as error:
            failed(index, ": " + describe(error))
            raise
        if raised[0] is None or result:
            passed[0] += 1
        return result


OPERATORS = {
    "Eq": lambda a, b: a == b, "NotEq": lambda a, b: a != b, "Lt": lambda a, b: a < b, "LtE": lambda a, b: a <= b,
    "Gt": lambda a, b: a > b, "GtE": lambda a, b: a >= b, "Is": lambda a, b: a is b, "IsNot": lambda a, b: a is not b,
    "In": lambda a, b: a in b, "NotIn": lambda a, b: a not in b,
}


def is_unreachable(statement):
    """`assert False`, `raise AssertionError`, `self.fail()`: what a right solution never reaches."""
    if isinstance(statement, ast.Assert):
        return isinstance(statement.test, ast.Constant) and not statement.test.value
    if isinstance(statement, ast.Raise):
        return raises_assertion(statement)
    called = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(called, ast.Call) and name_of(called.func) == "fail"


def raises_assertion(statement):
    raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
    return isinstance(raised, ast.Name) and raised.id == "AssertionError"


def name_of(function):
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


class Rewriter(ast.NodeTransformer):
    """Has each check of a test count itself. A hook stands in the code as a text that `bind` replaces."""

    def __init__(self, tree):
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        # The checks inside a function of the test count themselves.
        self.own = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
        self.sources = []

    def hook(self, name, args, node, keywords=()):
        made = ast.Call(ast.Constant("\0" + name), args, list(keywords))
        return ast.copy_location(made, node)

    def index(self, node):
        self.sources.append(flat(ast.unparse(node)))
        return ast.Constant(len(self.sources) - 1)

    def visit_Assert(self, node):
        index = self.index(node)
        test = node.test
        self.generic_visit(node)
        message = [node.msg or ast.Constant(self.sources[index.value])]
        is_pair = isinstance(test, ast.Compare) and len(test.ops) == 1
        if is_pair and not (is_fixed(test.left) and is_fixed(test.comparators[0])):
            op = ast.Constant(type(test.ops[0]).__name__)
            checked = self.hook("compare", [test.left, test.comparators[0], index, op], node)
        else:
            # What is true whatever the solution does is no check.
            counts = not (is_fixed(test) or is_pair or isinstance(test, ast.Tuple))
            checked = self.hook("check", [test if not is_pair else node.test, index, ast.Constant(counts)], node)
        error = ast.Raise(ast.Call(ast.Constant("\0error"), message, []), None)
        return ast.copy_location(ast.If(ast.UnaryOp(ast.Not(), checked), [error], []), node)

    def visit_Call(self, node):
        name = name_of(node.func)
        index = self.index(node) if is_check(name) and name not in self.own else None
        self.generic_visit(node)
        if index is None:
            return node
        return self.hook("call", [node.func, index, *node.args], node, node.keywords)

    def visit_If(self, node):
        is_check = any(isinstance(one, ast.Raise) and raises_assertion(one) for one in node.body)
        index = self.index(node.test) if is_check else None
        self.generic_visit(node)
        if index is not None:
            node.test = self.hook("wrong", [node.test, index], node.test)
        return node

    def visit_Try(self, node):
        expects = any(map(is_unreachable, [*node.body[1:], *node.orelse]))
        self.generic_visit(node)
        for handler in node.handlers if expects else ():
            index = self.index(handler.type) if handler.type else ast.Constant(0)
            note = ast.Expr(self.hook("reached", [index], handler))
            handler.body.insert(0, ast.copy_location(note, handler))
        return node

    def visit_ImportFrom(self, node):
        """`from your_module import f`: a module that does not exist is the solution."""
        if node.level or not node.module or "." in node.module or node.module in ("__future__", "solution"):
            return node
        return self.or_solution(node, ast.ImportFrom("solution", node.names, 0))

    def visit_Import(self, node):
        if len(node.names) != 1 or "." in node.names[0].name:
            return node
        name = node.names[0]
        return self.or_solution(node, ast.Import([ast.alias("solution", name.asname or name.name)]))

    def or_solution(self, node, other):
        other = ast.copy_location(other, node)
        missing = ast.ExceptHandler(ast.Name("ModuleNotFoundError", ast.Load()), None, [other])
        return ast.copy_location(ast.Try([node], [ast.copy_location(missing, node)], [], []), node)


def is_check(name):
    return name.startswith("assert") or name in ("raises", "fail")


def is_fixed(node):
    return all(isinstance(one, (ast.Constant, ast.UnaryOp, ast.unaryop)) for one in ast.walk(node))


def bind(code, hooks):
    """Puts the hooks in place of their names, where no name leads to them."""
    constants = []
    for constant in code.co_consts:
        if isinstance(constant, str) and constant[:1] == "\0":
            constant = hooks[constant[1:]]
        elif isinstance(constant, type(code)):
            constant = bind(constant, hooks)
        constants.append(constant)
    return code.replace(co_consts=tuple(constants))
