/* Runs one test of a solution and reports how it went.
 *
 * `harness_test` is the test; it is compiled together with the solution, apart from this file, whose counters it cannot
 * name. The secret that makes a report credible is read from descriptor 9 after the test has ended. The report is a
 * line: the secret, a word, a message. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int passed;
static char failure[1000];

void harness_test(void);

int harness_check(int value, const char *text, int line) {
    if (value) {
        passed++;
    } else if (!failure[0]) {
        snprintf(failure, sizeof failure, "`assert(%s)` (line %d of the test)", text, line);
    }
    return value;
}

static void report(const char *kind, const char *message) {
    static char line[1200];
    int length, size = 1;
    ssize_t got = 0;
    fflush(stdout);
    line[0] = '\n';
    while (size < 33 && (got = read(9, line + size, 33 - size)) > 0) size += (int)got;
    length = snprintf(line + size, sizeof line - size, " %s %s\n", kind, message);
    if (write(1, line, size + length) > 0) _exit(0);
    _exit(1);
}

void harness_end(void) {
    if (failure[0]) report("failed", failure);
    if (!passed) report("error", "the test checks nothing");
    report("passed", "");
}

int main(void) {
    harness_test();
    harness_end();
}
