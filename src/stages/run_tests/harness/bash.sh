# Runs one test of a solution and reports how it went.
#
# The secret that makes a report credible is on standard input. It stays there, unread, until the test has ended. The
# solution is sourced; then the test runs with `set -e`, and each command that checks something (`[ ]`, `[[ ]]`, `(( ))`,
# `test`, `assert`, `assert_equal`, `grep`, `diff`, `cmp`) is counted. The report is a line: the secret, a word, a message.

exec 9<&0 0</dev/null
harness_test=$(cat _test.sh; echo .)
harness_test=${harness_test%.}
rm -f _harness.sh _test.sh
harness_checks=0 harness_failure='' harness_off=''

# Counts the command that is about to run.
harness_count() {
  case $2 in *e*) ;; *) harness_off=1 ;; esac
  case $1 in
    '[ '* | '[[ '* | '(('* | 'test '* | 'assert '* | 'assert_equal '* | *grep\ * | 'diff '* | 'cmp '*)
      harness_checks=$((harness_checks + 1)) ;;
  esac
}

# Fails unless the command succeeds, even if the test ignores that.
assert() {
  if "$@"; then return 0; fi
  harness_failure=${harness_failure:-"assert $*"}
  return 1
}

# Fails unless the two texts are equal: the expected and the actual one.
assert_equal() {
  if [ "$1" = "$2" ]; then return 0; fi
  harness_failure=${harness_failure:-"expected \`$1\`, got \`$2\`"}
  return 1
}

harness_end() {
  POSIXLY_CORRECT=1 # From here on, no function takes the place of the builtins that are used.
  unset -f trap builtin printf read exit
  trap - DEBUG ERR EXIT
  set +eETu
  harness_message=${2//$'\n'/ }
  builtin read -r -t 5 -u 9 harness_secret
  builtin printf '\n%s %s %s\n' "$harness_secret" "$1" "${harness_message:0:1000}"
  exit 0
}

harness_failed() {
  # What fails in a command substitution is the business of the command around it.
  if ((BASH_SUBSHELL > 0)); then return 0; fi
  harness_end failed "${harness_failure:-"\`$1\` returned $2"}"
}

# An exit without an error before the test has ended proves nothing.
harness_exit() {
  if [ "$1" = 0 ]; then return 0; fi
  harness_end failed "${harness_failure:-"the test ended with exit code $1"}"
}

# Functions that the solution defines do not replace ours.
readonly -f harness_count harness_end harness_failed harness_exit assert assert_equal
. ./solution.sh
unset -f '[' test trap set eval 2>/dev/null
trap 'harness_failed "$BASH_COMMAND" "$?"' ERR
trap 'harness_exit "$?"' EXIT
set -eET
trap 'harness_count "$BASH_COMMAND" "$-"' DEBUG
eval "$harness_test"
for harness_name in $(compgen -A function test_); do
  case $harness_test in *"$harness_name"*) "$harness_name" ;; esac
done
harness_found=$harness_checks
[[ $(trap -p DEBUG) == *harness_count* && $(trap -p ERR) == *harness_failed* ]] || harness_off=1
if [[ -n $harness_failure ]]; then harness_end failed "$harness_failure"; fi
if [[ -n $harness_off ]]; then harness_end error 'the code switched off the rule that a failing command ends the test'; fi
if ((harness_found == 0)); then harness_end error 'the test checks nothing'; fi
harness_end passed ''
