# Sums what the test runners reported. Sourced by scripts/test.
#
# Reads their logs and nothing else: a step that ran no tests adds nothing, and a number that no
# runner printed is never made up.

without_colours() { sed 's/\x1b\[[0-9;]*m//g' "$1"; }

# One line "passed failed" per report in a log: nextest's Summary, cargo test's `test result`,
# and Node's `# pass` and `# fail` (`ℹ pass` with another reporter).
reported_counts() {
    without_colours "$1" | awk '
        # 9/12 tests run: 7 passed (1 slow, 1 leaky), 1 failed, 1 timed out, 3 skipped
        /^ *Summary \[/ {
            line = $0
            gsub(/\([^)]*\)/, "", line)
            sub(/^.*tests? run:/, "", line)
            passed = failed = 0
            count = split(line, parts, ",")
            for (i = 1; i <= count; i++) {
                if (parts[i] ~ /passed/) passed += parts[i]
                else if (parts[i] ~ /failed|timed out|leaked/) failed += parts[i]
            }
            print passed, failed
        }
        # test result: ok. 7 passed; 1 failed; 0 ignored; ...
        /^test result: / {
            match($0, /[0-9]+ passed/); passed = substr($0, RSTART, RLENGTH) + 0
            match($0, /[0-9]+ failed/); failed = substr($0, RSTART, RLENGTH) + 0
            print passed, failed
        }
        /^(#|ℹ) pass [0-9]+$/ { print $3, 0 }
        /^(#|ℹ) (fail|cancelled) [0-9]+$/ { print 0, $3 }
    '
}

# The runners' own closing lines, as they printed them, but for those of crates without tests.
reported_lines() {
    without_colours "$1" \
        | grep -E '^ *Summary \[|^test result: |^(#|ℹ) (tests|pass|fail|cancelled|skipped) [0-9]+$' \
        | grep -v ' 0 passed; 0 failed; 0 ignored;' || true
}

# Whether a step ends with a count of tests.
runs_tests() {
    case $1 in
        tests | doctests | js) true ;;
        *) false ;;
    esac
}

# Usage: print_totals LOG_DIRECTORY STEP...
# Only steps that this run reached: the log of another is an older run's.
# Ends with the line "N passed, M failed".
print_totals() {
    local logs=$1 step passed=0 failed=0 more_passed more_failed
    shift
    for step in "$@"; do
        if ! runs_tests "$step"; then continue; fi
        reported_lines "$logs/$step.log" | sed "s/^ */$step: /"
        while read -r more_passed more_failed; do
            passed=$((passed + more_passed)) failed=$((failed + more_failed))
        done < <(reported_counts "$logs/$step.log")
    done
    echo "$passed passed, $failed failed"
}
