#!/usr/bin/python3
"""Publishes an access intent to Lockbox, as an engineering tool does, and waits for what becomes of it.

    publish_intent.py --tool console --key keys/tool-console.nk --token-file token < intent.json

Needs Debian's python3-protobuf and python3-nacl, and the code that protoc generates from lockbox/v1/*.proto (see the
README beside). The intent is read as JSON; its id and token are filled in here. Prints the IntentOutcome as JSON; exits
with 0 if the intent was accepted for a decision, 1 if it was refused, 2 if it could not be published or nothing was heard.
"""

import argparse
import base64
import binascii
import json
import os
import socket
import ssl
import sys
import time
import urllib.parse
import uuid

import nacl.signing
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from lockbox.v1 import intent_pb2


class NatsError(Exception):
    pass


class Nats:
    """As much of a NATS client as a tool needs: sign in with an nkey, subscribe, publish, receive."""

    def __init__(self, url, seed, timeout, ca=None):
        address = urllib.parse.urlsplit(url)
        if address.scheme not in ("nats", "tls"):
            raise NatsError("the bus is at nats://host:port, or with TLS at tls://host:port")
        self.deadline = time.monotonic() + timeout
        self.socket = socket.create_connection((address.hostname, address.port or 4222), timeout)
        self.buffer = b""
        self.subscriptions = 0
        self.arrived = []  # messages that came while something else was waited for
        verb, info = self._line()
        if verb != "INFO":
            raise NatsError(f"not a NATS server: {verb}")
        if address.scheme == "tls" or ca:  # all after INFO is encrypted, and the server shows its certificate
            context = ssl.create_default_context(cafile=ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            self.socket = context.wrap_socket(self.socket, server_hostname=address.hostname)
        self._send("CONNECT " + json.dumps({
            **sign_in(seed, json.loads(info)["nonce"]),
            "verbose": False, "pedantic": False, "lang": "python", "version": "1", "protocol": 1,
            # With these, a publish that nobody receives is answered with status 503 instead of with silence.
            "headers": True, "no_responders": True,
        }))
        self.flush()

    def subscribe(self, subject):
        self.subscriptions += 1
        self._send(f"SUB {subject} {self.subscriptions}")
        return self.subscriptions

    def publish(self, subject, reply, data):
        self._send(f"PUB {subject} {reply} {len(data)}", data)

    def flush(self):
        """Waits until the server has handled everything sent before, and has not objected."""
        self._send("PING")
        while (message := self._receive()) is not None:
            self.arrived.append(message)

    def next(self, subscription, timeout):
        """The next message of a subscription, or None after so many seconds."""
        self.deadline = time.monotonic() + timeout
        for i, (to, data) in enumerate(self.arrived):
            if to == subscription:
                del self.arrived[i]
                return data
        try:
            while True:
                message = self._receive()
                if message is not None and message[0] == subscription:
                    return message[1]
                if message is not None:
                    self.arrived.append(message)
        except TimeoutError:
            return None

    def _receive(self):
        """A message as (subscription, data), or None for a PONG."""
        while True:
            verb, rest = self._line()
            if verb == "PING":
                self._send("PONG")
            elif verb == "PONG":
                return None
            elif verb == "-ERR":
                raise NatsError(rest)
            elif verb in ("MSG", "HMSG"):  # subject, subscription, [reply,] [size of the headers,] size
                fields = rest.split()
                payload = self._payload(int(fields[-1]))
                headers = payload[:int(fields[-2])] if verb == "HMSG" else b""
                if headers.startswith(b"NATS/1.0 503"):
                    raise NatsError("nobody receives this: is the tool's name right, and may it speak for this customer?")
                return int(fields[1]), payload[len(headers):]

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        verb, _, rest = line.decode().partition(" ")
        return verb.upper(), rest.strip()

    def _payload(self, size):
        while len(self.buffer) < size + 2:
            self._more()
        data, self.buffer = self.buffer[:size], self.buffer[size + 2:]
        return data

    def _more(self):
        self.socket.settimeout(max(0.001, self.deadline - time.monotonic()))
        data = self.socket.recv(65536)
        if not data:
            raise NatsError("the server closed the connection")
        self.buffer += data

    def _send(self, line, data=None):
        self.socket.sendall(line.encode() + b"\r\n" + (b"" if data is None else data + b"\r\n"))


def sign_in(seed, nonce):
    """The fields of CONNECT that prove who this is: the public nkey, and the server's nonce signed with the seed.

    A seed is base32: two bytes that say what it is, 32 bytes of an Ed25519 seed, two bytes of checksum. A public key is
    base32 too: one byte that says whose (20 << 3, a user's), 32 bytes, and the checksum, CRC-16/XMODEM, low byte first.
    """
    raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    if len(raw) != 36 or binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise NatsError("this is not the seed of an nkey")
    key = nacl.signing.SigningKey(raw[2:34])
    public = bytes([20 << 3]) + bytes(key.verify_key)
    public += binascii.crc_hqx(public, 0).to_bytes(2, "little")
    signature = key.sign(nonce.encode()).signature
    return {
        "nkey": base64.b32encode(public).decode().rstrip("="),
        "sig": base64.urlsafe_b64encode(signature).decode().rstrip("="),
    }


def uuid7():
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, the rest random."""
    n = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    n = n & ~(0xF << 76) | 7 << 76  # the version
    return str(uuid.UUID(int=n & ~(3 << 62) | 2 << 62))  # the variant


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read().strip()


def main():
    arguments = argparse.ArgumentParser(description="Publish an access intent, as JSON on standard input.")
    arguments.add_argument("--url", default="nats://127.0.0.1:4222", help="the bus")
    arguments.add_argument("--ca", help="file of the authority that signed the bus's certificate")
    arguments.add_argument("--tool", required=True, help="the name that the tool's key was made for")
    arguments.add_argument("--key", required=True, help="file with the tool's nkey seed")
    arguments.add_argument("--token-file", required=True, help="file with the engineer's own token")
    arguments.add_argument("--timeout", type=float, default=30, help="seconds to wait for the outcome")
    options = arguments.parse_args()

    intent = json_format.Parse(sys.stdin.read(), intent_pb2.AccessIntent())
    intent.id, intent.token = uuid7(), read(options.token_file)

    bus = Nats(options.url, read(options.key), options.timeout, options.ca)
    # A tool may listen below its own inbox only. Listen before publishing: an outcome is sent once and not stored.
    inbox = f"_INBOX.tool-{options.tool}.{uuid.uuid4().hex}"
    acknowledged = bus.subscribe(inbox)
    outcomes = bus.subscribe(f"lockbox.outcome.{options.tool}.{intent.id}")
    bus.flush()

    # The intent is on disk once the bus says so. Until then publish the same again, under the same id: it is one request.
    data, answer = intent.SerializeToString(), None
    for _ in range(3):
        bus.publish(f"lockbox.intent.{options.tool}.{intent.tenant}", inbox, data)
        if answer := bus.next(acknowledged, options.timeout / 3):
            break
    if answer is None:
        raise NatsError("the intent was not acknowledged; publish it again under the same id: " + intent.id)
    if error := json.loads(answer).get("error"):
        raise NatsError(f"the intent was not stored: {error}")

    until = time.monotonic() + options.timeout
    while (heard := bus.next(outcomes, until - time.monotonic())) is not None:
        try:
            outcome = intent_pb2.IntentOutcome.FromString(heard)
        except DecodeError:
            continue
        if outcome.intent_id != intent.id:  # another tool can have an answer of its own delivered here
            continue
        print(json_format.MessageToJson(outcome))
        return 1 if outcome.HasField("refusal") else 0
    raise NatsError(f"the intent {intent.id} is stored, but nothing was heard of its evaluation yet")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NatsError, OSError, ValueError, json_format.ParseError) as e:
        print(f"publish_intent: {e}", file=sys.stderr)
        sys.exit(2)
