#!/usr/bin/python3
"""Asks Lockbox for access over HTTP, as an engineering tool that signs the intent, and prints what becomes of it.

    ask_by_rest.py --url https://lockbox.example.org --tenant meadowbank --tool ticketing --key ticketing.pem \\
        --token-file token < intent.json

Needs nothing but Python and openssl. Without --tool and --key, the engineer asks and no tool signs. The intent is read
as JSON; its id is filled in here. With --dry-run nothing is recorded. Prints the answer as JSON; exits with 0 if the
intent goes on to a decision, 1 if it was refused, 2 if nothing was heard.
"""

import argparse
import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid


def uuid7():
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, the rest random."""
    n = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    n = n & ~(0xF << 76) | 7 << 76  # the version
    return str(uuid.UUID(int=n & ~(3 << 62) | 2 << 62))  # the variant


def statement(tool, tenant, dry_run, token, body):
    """What the tool signs: whom and what the intent is for, so that the signature is worth nothing for anything else."""
    return (
        "lockbox intent v1\n"
        f"tool {tool}\n"
        f"tenant {tenant}\n"
        f"dry-run {'true' if dry_run else 'false'}\n"
        f"token-sha256 {hashlib.sha256(token.encode()).hexdigest()}\n"
        f"body-sha256 {hashlib.sha256(body).hexdigest()}\n"
    ).encode()


def sign(key, message):
    """An Ed25519 signature, as openssl makes it; it wants the message in a file."""
    with tempfile.NamedTemporaryFile() as f:
        f.write(message)
        f.flush()
        return subprocess.run(
            ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", f.name], check=True, capture_output=True
        ).stdout


def main():
    arguments = argparse.ArgumentParser(description="Ask for access, with an intent as JSON on standard input.")
    arguments.add_argument("--url", required=True, help="the portal")
    arguments.add_argument("--tenant", required=True, help="the customer")
    arguments.add_argument("--token-file", required=True, help="file with the engineer's own token")
    arguments.add_argument("--tool", help="the tool that signs, as the evaluator's configuration names it")
    arguments.add_argument("--key", help="file with the tool's private key, Ed25519 in PEM")
    arguments.add_argument("--dry-run", action="store_true", help="only say what would become of it")
    options = arguments.parse_args()
    if bool(options.tool) != bool(options.key):
        arguments.error("--tool and --key belong together")

    with open(options.token_file, encoding="utf-8") as f:
        token = f.read().strip()
    intent = {"id": uuid7(), **json.load(sys.stdin)}
    body = json.dumps(intent).encode()  # these bytes are signed, and sent as they are
    request = urllib.request.Request(
        f"{options.url}/lockbox/v1/tenants/{urllib.parse.quote(options.tenant)}/intents"
        + ("?dry_run=true" if options.dry_run else ""),
        body, {"Authorization": "Bearer " + token, "Content-Type": "application/json"},
    )
    if options.tool:
        signature = sign(options.key, statement(options.tool, options.tenant, options.dry_run, token, body))
        request.add_header("Lockbox-Tool", options.tool)
        request.add_header("Lockbox-Signature", base64.b64encode(signature).decode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            print(json.dumps(json.load(answer), indent=2))
            return 0
    except urllib.error.HTTPError as refused:  # a problem document: code, field, rule, and a sentence
        print(json.dumps(json.load(refused), indent=2))
        return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, subprocess.CalledProcessError) as e:
        print(f"ask_by_rest: {e}", file=sys.stderr)
        sys.exit(2)
