# Starts and ends one chat-server on a free loopback port. Sourced by scripts that need one.

SERVER_PID=''
SERVER_LOG=''

# Whether anything accepts connections on a loopback port. Bash opens the connection itself.
port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
    local port
    for _ in $(seq 50); do
        port=$((20000 + RANDOM % 10000))
        if ! port_is_taken "$port"; then
            echo "$port"
            return
        fi
    done
    echo "no free port between 20000 and 29999" >&2
    return 1
}

is_healthy() {
    local status
    status=$(
        exec 2>/dev/null
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit
        printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
        IFS= read -r -t 2 line <&3 && echo "$line"
    ) || return
    [[ $status == 'HTTP/1.1 200'* ]]
}

# Usage: start_server BINARY PORT LOG [ARGUMENT...]
start_server() {
    local binary=$1 port=$2
    SERVER_LOG=$3
    shift 3
    # In a process group of its own: Ctrl-C is for the script, which then ends its servers in order.
    set -m
    "$binary" --listen "127.0.0.1:$port" "$@" >"$SERVER_LOG" 2>&1 </dev/null &
    set +m
    SERVER_PID=$!
    for _ in $(seq 100); do
        if is_healthy "$port"; then return; fi
        if ! kill -0 "$SERVER_PID" 2>/dev/null; then break; fi
        sleep 0.1
    done
    echo "chat-server did not become ready; it said:" >&2
    cat "$SERVER_LOG" >&2
    return 1
}

# Ends the server as an operator would, and fails if it does not go in peace.
stop_server() {
    local pid=$SERVER_PID status=0
    if [ -z "$pid" ]; then return; fi
    SERVER_PID=''
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" || status=$?
    if [ "$status" != 0 ]; then
        echo "chat-server ended with status $status after SIGTERM; it said:" >&2
        cat "$SERVER_LOG" >&2
    fi
    return "$status"
}
