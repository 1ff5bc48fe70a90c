#!/usr/bin/env python3
"""Does our load generator tell the truth? Python asks the same server and counts for itself.

    python3 bench/second_opinion.py [ROUNDS]

builds the server (w04-epoll) and the generator, lets the two load generators take turns, and prints
its table (notes/benchmarks-second-opinion.md). It needs two cores: the server has core 0, the loads have core 1.

The scenarios leave most of the work to the server, since a Python client is slow: batches are built
once, and many requests go out in one call. Nothing of our code is used on this side, and the server
has a say as well: the bytes that it has read must be those that the generator claims to have sent.
"""

import argparse
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time

SECONDS = 2.0
WARMUP = 0.3
SERVER_CORE, LOAD_CORE = 0, 1
# What is measured: connections, requests that each has under way, bytes of a body.
SCENARIOS = {
    "64 B, pipeline 64": (4, 64, 64),
    "16 KiB, pipeline 16": (4, 16, 16384),
    "64 B, one connection": (1, 1, 64),
}


def main():
    parser = argparse.ArgumentParser(description="Asks a server by Python and by `bench load`, in turn.")
    parser.add_argument("rounds", nargs="?", type=at_least_one, default=5, help="default: 5")
    rounds = parser.parse_args().rounds
    if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        sys.exit(f"error: cores {SERVER_CORE} and {LOAD_CORE} are needed")
    programs = build("w04-epoll", "bench")
    os.sched_setaffinity(0, {LOAD_CORE})
    server, port = start(programs["w04-epoll"])
    try:
        print("| echo | | Python | `bench load` | Python / ours |")
        print("| --- | --- | ---: | ---: | ---: |")
        for name, scenario in SCENARIOS.items():
            python, ours = [], []
            for _ in range(rounds):
                python.append(with_server_share(server.pid, lambda: ask_by_python(port, *scenario)))
                ours.append(
                    with_server_share(server.pid, lambda: ask_by_bench(programs["bench"], port, *scenario))
                )
            rows = [("requests/s", 0, ",.0f"), ("p50, µs", 1, ".1f"), ("p99, µs", 2, ".1f"),
                    ("server's share of its core", 3, ".0%")]
            for what, column, form in rows:
                theirs = statistics.median(figures[column] for figures in python)
                mine = statistics.median(figures[column] for figures in ours)
                print(f"| {name} | {what} | {theirs:{form}} | {mine:{form}} | {theirs / mine:.2f} |")
        requests, claimed, counted = compare_counts(programs["bench"], port)
        print(f"\n{requests} requests are {claimed} bytes; the server has read {counted}.")
        if claimed != counted:
            sys.exit("error: the load generator and the server do not agree")
    finally:
        server.terminate()
        server.wait()


def at_least_one(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one round is needed")
    return number


def ask_by_python(port, connections, pipeline, size):
    """Requests a second, and two percentiles of the time from a batch's sending to its last reply."""
    body = bytes(range(97, 123)) * (size // 26 + 1)
    request = b"echo %d\r\n%b\r\n" % (size, body[:size])
    reply = b"ECHO" + request[4:]
    batch, batch_of_replies = memoryview(request * pipeline), reply * pipeline
    room = memoryview(bytearray(len(batch_of_replies)))
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        # Bytes sent and received of the present batch, and since when.
        state = {"sent": 0, "received": 0, "since": time.perf_counter()}
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, state)
    begin = time.perf_counter() + WARMUP
    end = begin + SECONDS
    times = []
    while (now := time.perf_counter()) < end:
        for key, events in selector.select():
            connection, state = key.fileobj, key.data
            if events & selectors.EVENT_READ:
                count = connection.recv_into(room)
                at = state["received"]
                if count == 0 or bytes(room[:count]) != batch_of_replies[at : at + count]:
                    sys.exit("error: the server closed, or a reply was wrong")
                state["received"] += count
                if state["received"] == len(batch_of_replies):
                    now = time.perf_counter()
                    if begin <= now < end:
                        times.append(now - state["since"])
                    state.update(sent=0, received=0, since=now)
            if state["sent"] < len(batch):
                try:
                    state["sent"] += connection.send(batch[state["sent"] :])
                except BlockingIOError:
                    pass
                wanted = selectors.EVENT_READ
                if state["sent"] < len(batch):
                    wanted |= selectors.EVENT_WRITE
                if wanted != key.events:
                    selector.modify(connection, wanted, state)
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    times.sort()
    at = lambda share: times[int(len(times) * share)] * 1e6
    return len(times) * pipeline / SECONDS, at(0.5), at(0.99)


def ask_by_bench(program, port, connections, pipeline, size):
    report = run_bench(program, port, connections, pipeline, size, f"{WARMUP * 1000:.0f}ms")
    latency = report["latency_ns"]
    return report["requests_per_second"], latency["p50"] / 1000, latency["p99"] / 1000


def run_bench(program, port, connections, pipeline, size, warmup):
    flags = {"connections": connections, "pipeline": pipeline, "size": size, "core": LOAD_CORE,
             "duration": f"{SECONDS * 1000:.0f}ms", "warmup": warmup}
    flags = [word for flag, value in flags.items() for word in (f"--{flag}", str(value))]
    output = subprocess.run([program, "load", f"127.0.0.1:{port}", "--json", *flags],
                            check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)


def with_server_share(pid, work):
    """The figures of `work`, and the share of a core that the server used meanwhile.

    The wait before and behind the measured time counts too, so a server that was always busy shows
    as a little less than 1."""
    before, begin = cpu_seconds(pid), time.perf_counter()
    figures = work()
    return *figures, (cpu_seconds(pid) - before) / (time.perf_counter() - begin)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def compare_counts(program, port):
    """Requests that one load says it made, their bytes, and the bytes that the server read."""
    before = bytes_read(port)
    report = run_bench(program, port, 10, 1, 64, "0s")
    request = len(b"echo 64\r\n") + 64 + len(b"\r\n")
    # Besides the load: one `mn` of the generator before it begins, and the question itself.
    counted = bytes_read(port) - before - len(b"mn\r\n") - len(b"stats\r\n")
    return report["requests"], report["requests"] * request, counted


def bytes_read(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"stats\r\n")
        reply = b""
        while not reply.endswith(b"END\r\n"):
            reply += connection.recv(4096)
    stats = dict(line.split(" ")[1:3] for line in reply.decode().splitlines() if line != "END")
    return int(stats["bytes_read"])


def build(*packages):
    """The programs of these packages, in their release build."""
    command = ["cargo", "build", "--release", "--quiet", "--message-format=json"]
    for package in packages:
        command += ["--package", package]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()
    messages = [json.loads(line) for line in lines]
    return {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}


def start(program):
    """A server, and its port."""
    server = subprocess.Popen([program, "0"], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "RUST_LOG": "warn"},
                              preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}))
    return server, int(server.stdout.readline().rsplit(":", 1)[1])


if __name__ == "__main__":
    main()
