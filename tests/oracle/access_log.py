#!/usr/bin/env python3
"""access_log.py traffic|paths|sessions [access.log]: what Wasmill must answer for tests/data/access.log, computed plainly.

Reads the whole log (Apache combined format), sorts nothing by arrival, and prints JSON lines in a fixed order.
Times are milliseconds since 1970, UTC. A window [start, end) is named by both of its ends.

traffic   {"window_start", "window_end", "class", "hits", "bytes"}: tumbling 5 minutes, by status class ("2xx", ...);
          a size of "-" counts as 0 bytes. Order: window, class.
paths     {"window_start", "window_end", "rank", "path", "hits"}: the ten most requested paths of each hour. A path is the
          request target up to "?"; equal hits rank by path, ascending (bytes). Order: window, rank.
sessions  {"client", "start", "end", "requests"}: a session is a maximal run of one client's requests in which consecutive
          event times are at most 30 minutes apart. `end` is the last request's time + 30 minutes. "At most", not "less
          than": Flink's session window of a request at t is [t, t + gap), and Flink merges windows that intersect or touch
          (TimeWindow.intersects is start <= other.end && end >= other.start). Order: client, start.

Lines that are not in combined format are left out, and counted on stderr as `bad lines: N`.
"""
import json
import os
import re
import sys
from collections import Counter, defaultdict
from datetime import datetime

MINUTE = 60_000
COMBINED = re.compile(
    rb'(\S+) \S+ \S+ \[([^\]]+)\] "([^"\\]*(?:\\.[^"\\]*)*)" (\d{3}) (\d+|-) "[^"\\]*(?:\\.[^"\\]*)*" "[^"\\]*(?:\\.[^"\\]*)*"'
)


def read(path):
    """(client, time, path, status, bytes) of each good line, and the number of bad ones."""
    requests, bad = [], 0
    with open(path, "rb") as log:
        for line in log:
            match = COMBINED.fullmatch(line.rstrip(b"\r\n"))
            words = match.group(3).split(b" ") if match else []
            if len(words) != 3:
                bad += 1
                continue
            moment = datetime.strptime(match.group(2).decode(), "%d/%b/%Y:%H:%M:%S %z")
            size = match.group(5)
            requests.append((
                match.group(1).decode(),
                int(moment.timestamp()) * 1000,
                words[1].split(b"?")[0].decode(),
                int(match.group(4)),
                0 if size == b"-" else int(size),
            ))
    return requests, bad


def start_of(time, size):
    return time - time % size


def traffic(requests, size=5 * MINUTE):
    totals = defaultdict(lambda: [0, 0])
    for _, time, _, status, length in requests:
        total = totals[start_of(time, size), f"{status // 100}xx"]
        total[0] += 1
        total[1] += length
    for (start, kind), (hits, length) in sorted(totals.items()):
        yield {"window_start": start, "window_end": start + size, "class": kind, "hits": hits, "bytes": length}


def paths(requests, size=60 * MINUTE, most=10):
    hours = defaultdict(Counter)
    for _, time, path, _, _ in requests:
        hours[start_of(time, size)][path] += 1
    for start, counts in sorted(hours.items()):
        ranking = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0].encode()))[:most]
        for rank, (path, hits) in enumerate(ranking, 1):
            yield {"window_start": start, "window_end": start + size, "rank": rank, "path": path, "hits": hits}


def sessions(requests, gap=30 * MINUTE):
    clients = defaultdict(list)
    for client, time, _, _, _ in requests:
        clients[client].append(time)
    for client, times in sorted(clients.items()):
        times.sort()
        first = last = times[0]
        count = 0
        for time in times:
            if time - last > gap:
                yield {"client": client, "start": first, "end": last + gap, "requests": count}
                first, count = time, 0
            last = time
            count += 1
        yield {"client": client, "start": first, "end": last + gap, "requests": count}


ANSWERS = {"traffic": traffic, "paths": paths, "sessions": sessions}


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in ANSWERS:
        sys.exit(__doc__)
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "access.log")
    requests, bad = read(sys.argv[2] if len(sys.argv) == 3 else beside)
    for row in ANSWERS[sys.argv[1]](requests):
        print(json.dumps(row, separators=(",", ":"), ensure_ascii=False))
    print(f"bad lines: {bad}", file=sys.stderr)


if __name__ == "__main__":
    main()
