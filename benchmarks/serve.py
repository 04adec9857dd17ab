"""Searches a second of `pmm serve` beside the images that its model embeds in one.

    python -m benchmarks.serve GALLERY [--model MODEL] [--clients 32] [--seconds 10] [--rounds 5]
        [--cpus 1] [--json]

In each round, one after the other: `Model.embed` alone, on images that are decoded already, and
the server, a process of its own, which so many clients ask at once, each with its next image as
soon as it has an answer. The clients are one more process, on the same machine: what they need is
taken from the server, so their CPU time stands beside its own. `--cpus` binds all of it to so many
cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import numpy as np

from pmm_jax.runtime import set_up_process

IMAGES = 512
"""Of the gallery, which the clients ask for in turns."""
BATCH = 32
"""Images that `Model.embed` takes at once: as many as the server does."""
BOUNDARY = "b" * 32


class Load(NamedTuple):
    """What clients saw of a server."""

    answers: int
    seconds: float
    latencies: list[float]
    cpu: float
    """Seconds of the clients' process."""


def request(image: bytes, port: int) -> bytes:
    """A search for an image, as it goes over the wire."""
    disposition = 'Content-Disposition: form-data; name="image"; filename="crop.jpg"'
    part = f"--{BOUNDARY}\r\n{disposition}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
    body = part + image + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = (
        f"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    return head.encode() + body


async def ask(port: int, requests: list[bytes], clients: int, seconds: float) -> Load:
    """Have clients ask for a time; what is asked by then is waited for."""
    latencies: list[float] = []
    started, cpu = time.perf_counter(), time.process_time()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (asked := time.perf_counter()) < started + seconds:
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(head.decode())
            length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            latencies.append(time.perf_counter() - asked)
            number += clients
        writer.close()

    await asyncio.gather(*map(client, range(clients)))
    spent = time.perf_counter() - started
    return Load(len(latencies), spent, latencies, time.process_time() - cpu)


@contextmanager
def serving(words: list[str]) -> Iterator[tuple[int, int]]:
    """A server's port and process."""
    command = [sys.executable, "-m", "pmm_jax", "serve", *words, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = [process.stdout.readline() for _ in range(2)][1]
            yield int(said.split()[3].rstrip("/").rpartition(":")[2]), process.pid
        finally:
            process.terminate()


def cpu_seconds(process: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def batch_counts(port: int) -> tuple[float, float]:
    """Images embedded by the server so far, and the calls for them."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines())
    return float(lines["pmm_batch_images_sum{}"]), float(lines["pmm_batch_images_count{}"])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Figures of all rounds."""
    from pmm_jax.pixels import pixels
    from pmm_jax.search.gallery import Gallery
    from pmm_jax.search.model import model_of

    gallery = Gallery.open(options.gallery)
    model = model_of(gallery, options.model or None)
    paths = [str(image["path"]) for image in gallery.images(None, 0, IMAGES)[1]]
    images = np.stack([pixels(path, model.image_size) for path in paths])
    model.embed(images[:BATCH], BATCH)  # compiles
    words = [options.gallery, *(["--model", options.model] if options.model else [])]
    rounds = []
    with serving(words) as (port, process):
        requests = [request(Path(path).read_bytes(), port) for path in paths]
        asyncio.run(ask(port, requests, options.clients, 1.0))
        for number in range(options.rounds):
            started, embedded = time.perf_counter(), 0
            while time.perf_counter() < started + options.seconds:
                model.embed(images, BATCH)
                embedded += len(images)
            alone = embedded / (time.perf_counter() - started)
            before, cpu = batch_counts(port), cpu_seconds(process)
            load = asyncio.run(ask(port, requests, options.clients, options.seconds))
            after, cpu = batch_counts(port), cpu_seconds(process) - cpu
            rate = load.answers / load.seconds
            rounds.append(
                {
                    "embed": alone,
                    "serve": rate,
                    "ratio": rate / alone,
                    "p50": float(np.percentile(load.latencies, 50)),
                    "p99": float(np.percentile(load.latencies, 99)),
                    "batch": (after[0] - before[0]) / (after[1] - before[1]),
                    "server_cpu": cpu / load.seconds,
                    "client_cpu": load.cpu / load.seconds,
                }
            )
            if sys.stderr.isatty():
                print(f"\rround {number + 1}/{options.rounds}", end="", file=sys.stderr)
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    return {"median": medians, "rounds": rounds, "clients": options.clients}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="Searches a second, beside the model alone.")
    parser.add_argument("gallery", help="a gallery whose images are JPEG files")
    parser.add_argument("--model", default="", help="its model, where that has moved")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpus", type=int, default=0, help="cores for all of it; 0 takes all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.cpus:
        os.sched_setaffinity(0, range(options.cpus))
    set_up_process()
    found = measure(options)
    if options.json:
        print(json.dumps(found))
        return
    median = found["median"]
    print(f"Model.embed alone   {median['embed']:>8.1f} images/s, batches of {BATCH}")
    print(
        f"{options.clients} clients at once {median['serve']:>10.1f} searches/s, "
        f"{100 * median['ratio']:.0f} % of that; {median['batch']:.1f} images a call"
    )
    print(
        f"latency             {median['p50']:>8.3f} s median, {median['p99']:.3f} s 99th percentile"
    )
    print(
        f"CPU                 {median['server_cpu']:>8.2f} cores the server, "
        f"{median['client_cpu']:.2f} its clients"
    )


if __name__ == "__main__":
    main()
