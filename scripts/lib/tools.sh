# Finds the programs that the tests start, and installs what is missing. Sourced by scripts/test.
#
# Leaves no service running: packages that would start one are told not to.

# Each line: what is looked for, the Debian or Ubuntu package that has it.
TOOLS='cc build-essential
redis-server redis-server
openssl openssl
postgres postgresql
chromium chromium
node nodejs'

has_tool() {
    case $1 in
        # Debian keeps the server's programs out of the PATH.
        postgres) command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 ;;
        chromium) command -v chromium >/dev/null || command -v google-chrome >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

missing_packages() {
    local tool package
    while read -r tool package; do
        if ! has_tool "$tool"; then echo "$package"; fi
    done <<<"$TOOLS"
}

# Runs a command as root, if that needs no password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# Debian asks this file before a package starts its service; 101 means no.
# https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
POLICY=/usr/sbin/policy-rc.d

install_quietly() {
    if [ ! -e "$POLICY" ]; then
        trap 'as_root rm -f "$POLICY"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
        as_root chmod 755 "$POLICY"
    fi
    as_root apt-get update -q \
        && as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "$@"
}

ensure_tools() {
    local missing=() package
    while IFS= read -r package; do missing+=("$package"); done < <(missing_packages)
    if [ "${#missing[@]}" = 0 ]; then
        echo "all there"
        return
    fi
    if can_install; then install_quietly "${missing[@]}" || true; fi
    missing=()
    while IFS= read -r package; do missing+=("$package"); done < <(missing_packages)
    if [ "${#missing[@]}" != 0 ]; then
        echo "The tests start programs that this machine lacks. Please install them:" >&2
        echo "    sudo apt-get install ${missing[*]}" >&2
        echo "(elsewhere: redis or valkey, PostgreSQL, Chromium, Node.js 18+)" >&2
        return 1
    fi
}

require_rust() {
    if ! command -v cargo >/dev/null; then
        echo "Rust is missing: install it from https://rustup.rs (see rust-version in Cargo.toml)" >&2
        exit 1
    fi
    local component
    for component in fmt clippy; do
        if cargo "$component" --version >/dev/null 2>&1; then continue; fi
        echo "cargo $component is missing: rustup component add rustfmt clippy" >&2
        exit 1
    done
}
