#!/usr/bin/env python3
"""What mumble-server needs for 100 people of whom 3 speak: the same load as `./dev load voice` puts on a relay.

Needs Debian's mumble-server and python3-cryptography. Prints one line of JSON. The server is a process of its own on the first
core; clients (TLS for control, OCB2-AES128 over UDP for voice) are this process, on the second.
"""

import argparse
import json
import os
import select
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

FRAME_INTERVAL = 0.02
# With Mumble's headers (4 bytes of cryptography, 5 of voice) a datagram of 160 bytes.
PAYLOAD = bytes(151)
VERSION, AUTHENTICATE, PING, REJECT, SERVER_SYNC, CRYPT_SETUP = 0, 2, 3, 4, 5, 15


def varint(value):
    """Mumble's own, not protobuf's."""
    if value < 0x80:
        return bytes([value])
    if value < 0x4000:
        return struct.pack(">H", 0x8000 | value)
    return struct.pack(">I", 0xF0000000)[:1] + struct.pack(">I", value)


def protobuf(fields):
    """Numbers and bytes, by field number."""
    out = b""
    for number, value in fields:
        kind = 0 if isinstance(value, int) else 2
        out += leb(number << 3 | kind)
        out += leb(value) if kind == 0 else leb(len(value)) + value
    return out


def leb(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def bytes_fields(message):
    """The fields of a message that are bytes."""
    fields, at = {}, 0
    while at < len(message):
        key, at = read_leb(message, at)
        value, at = read_leb(message, at)
        if key & 7 == 2:
            fields[key >> 3] = message[at : at + value]
            at += value
    return fields


def read_leb(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


class Crypt:
    """OCB2-AES128 towards the server."""

    def __init__(self, key, nonce):
        self.aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        self.nonce = bytearray(nonce)

    def block(self, value):
        return int.from_bytes(self.aes.update(value.to_bytes(16, "big")), "big")

    @staticmethod
    def double(value):
        value <<= 1
        return value & (1 << 128) - 1 ^ (0x87 if value >> 128 else 0)

    def encrypt(self, plain):
        for i in range(16):
            self.nonce[i] = (self.nonce[i] + 1) & 0xFF
            if self.nonce[i]:
                break
        delta = self.block(int.from_bytes(self.nonce, "big"))
        checksum, out, at = 0, b"", 0
        while len(plain) - at > 16:
            delta = self.double(delta)
            piece = int.from_bytes(plain[at : at + 16], "big")
            out += (delta ^ self.block(delta ^ piece)).to_bytes(16, "big")
            checksum ^= piece
            at += 16
        rest = plain[at:]
        delta = self.double(delta)
        pad = self.block(len(rest) * 8 ^ delta).to_bytes(16, "big")
        last = rest + pad[len(rest) :]
        checksum ^= int.from_bytes(last, "big")
        out += bytes(a ^ b for a, b in zip(pad, last))[: len(rest)]
        delta = self.double(delta) ^ delta
        tag = self.block(delta ^ checksum).to_bytes(16, "big")
        return bytes([self.nonce[0]]) + tag[:3] + out


class Client:
    def __init__(self, port, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.tcp = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.udp.connect(("127.0.0.1", port))
        self.sequence = 0
        self.send(VERSION, protobuf([(1, 0x00010304), (2, b"load")]))
        self.send(AUTHENTICATE, protobuf([(1, name.encode()), (5, 1)]))
        self.crypt = None
        while True:
            kind, message = self.receive()
            if kind == CRYPT_SETUP:
                fields = bytes_fields(message)
                self.crypt = Crypt(fields[1], fields[2])
            elif kind == REJECT:
                sys.exit(f"mumble-server refused {name}: {message!r}")
            elif kind == SERVER_SYNC:
                break
        # The server learns the address from the first datagram.
        self.udp.send(self.crypt.encrypt(b"\x20\x01"))
        self.tcp.setblocking(False)
        self.udp.setblocking(False)

    def send(self, kind, message):
        self.tcp.sendall(struct.pack(">HI", kind, len(message)) + message)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.tcp.recv(count - len(data))
            if not more:
                sys.exit("mumble-server closed a connection")
            data += more
        return data

    def receive(self):
        kind, length = struct.unpack(">HI", self.exactly(6))
        return kind, self.exactly(length)

    def keep_alive(self):
        """Says that it is there, and forgets what came about others."""
        self.send(PING, b"")
        try:
            while self.tcp.recv(65536):
                pass
        except (ssl.SSLWantReadError, BlockingIOError):
            pass

    def speak(self):
        voice = b"\x80" + varint(self.sequence) + varint(len(PAYLOAD)) + PAYLOAD
        self.sequence += 2
        self.udp.send(self.crypt.encrypt(voice))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drain(poll, clients, seconds):
    """Receives for a while; how many datagrams of voice came. Pings are shorter."""
    count, until = 0, time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        if left <= 0:
            return count
        for number, _ in poll.poll(left):
            udp = clients[number].udp
            try:
                while True:
                    count += len(udp.recv(2048)) > 100
            except BlockingIOError:
                pass


def measure(port, server, options):
    clients = {}
    poll = select.epoll()
    people = [Client(port, f"load{i}") for i in range(options.people)]
    for client in people:
        clients[client.udp.fileno()] = client
        poll.register(client.udp.fileno(), select.EPOLLIN)
    drain(poll, clients, 2)
    speakers = people[: options.speakers]
    begun, cpu = time.monotonic(), cpu_seconds(server.pid)
    published = heard = 0
    kept_alive = begun
    while (now := time.monotonic()) - begun < options.seconds:
        due = int((now - begun) / FRAME_INTERVAL * len(speakers)) + 1
        while published < due:
            speakers[published % len(speakers)].speak()
            published += 1
        if now - kept_alive > 10:
            kept_alive = now
            for client in people:
                client.keep_alive()
        heard += drain(poll, clients, FRAME_INTERVAL / len(speakers) / 2)
    wall, cpu = time.monotonic() - begun, cpu_seconds(server.pid) - cpu
    heard += drain(poll, clients, 0.5)
    return {
        "figure": "mumble_server",
        "people": options.people,
        "speakers": options.speakers,
        "published": published,
        "wanted": published * (options.people - 1),
        "delivered": heard,
        "seconds": wall,
        "cpu_percent": cpu / wall * 100,
        "frames_per_cpu_second": round(heard / cpu) if cpu else None,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--speakers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    program = shutil.which("murmurd", path="/usr/sbin:/usr/bin") or shutil.which("mumble-server")
    if not program:
        sys.exit("mumble-server is missing: install Debian's package of that name")
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        # Started by root, the server takes the identity of a user of its own.
        os.chmod(folder, 0o777)
        settings = os.path.join(folder, "server.ini")
        with open(settings, "w") as file:
            file.write(
                f"database={folder}/db.sqlite\nlogfile={folder}/log\nhost=127.0.0.1\nport={port}\n"
                f"bandwidth=558000\nusers={options.people + 10}\nallowping=true\nautobanAttempts=0\n"
            )
        probe.close()
        log = open(os.path.join(folder, "out"), "w")
        server = subprocess.Popen([program, "-fg", "-ini", settings], stdout=log, stderr=log)
        try:
            os.sched_setaffinity(server.pid, {0})
            os.sched_setaffinity(0, {os.cpu_count() - 1})
            wait_for(port)
            print(json.dumps(measure(port, server, options)))
        finally:
            server.kill()
            server.wait()


def wait_for(port):
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit("mumble-server does not listen")


main()
