#!/usr/bin/env python3
"""Makes and reads what Lockbox encrypts so that it can be erased: names of pages, values and pages of keys. Written from
FORMATS.md alone; shares nothing with the program that makes them but a refusal (receipt.py).

    erasure.py FILE     says of each thing in FILE what it is, a JSON string a line

Needs Python's standard library, and openssl for AES.
"""
import base64
import hmac
import json
import re
import subprocess
import sys

from receipt import Refused, need

MARK = "\x02"


def mac(key, *parts):
    return hmac.digest(key, b"".join(parts), "sha256")


def u32(n):
    return n.to_bytes(4, "big")


# AES-256-GCM (NIST SP 800-38D), of 96-bit nonces

def aes(key, blocks):
    done = subprocess.run(["openssl", "enc", "-aes-256-ecb", "-nopad", "-nosalt", "-K", key.hex()], input=blocks,
                          stdout=subprocess.PIPE, check=True)
    return done.stdout


def times(x, y):
    product = 0
    for bit in range(127, -1, -1):
        if y >> bit & 1:
            product ^= x
        x = x >> 1 ^ (0xE1 << 120 if x & 1 else 0)
    return product


def padded(data):
    return data + bytes(-len(data) % 16)


def gcm(key, nonce, data, bound):
    """Returns data under the key stream, and a function that gives the tag of a ciphertext."""
    count = -(-len(data) // 16)
    blocks = aes(key, bytes(16) + b"".join(nonce + u32(1 + i) for i in range(count + 1)))
    out = bytes(a ^ b for a, b in zip(data, blocks[32:]))

    def tag(ciphertext):
        hashed, y = int.from_bytes(blocks[:16], "big"), 0
        lengths = (8 * len(bound)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
        hash_of = padded(bound) + padded(ciphertext) + lengths
        for at in range(0, len(hash_of), 16):
            y = times(y ^ int.from_bytes(hash_of[at:at + 16], "big"), hashed)
        return bytes(a ^ b for a, b in zip(y.to_bytes(16, "big"), blocks[16:32]))

    return out, tag


def encrypt(key, nonce, text, bound):
    ciphertext, tag = gcm(key, nonce, text, bound)
    return ciphertext + tag(ciphertext)


def decrypt(key, nonce, sealed, bound):
    need(len(sealed) >= 16, "no tag")
    ciphertext = sealed[:-16]
    text, tag = gcm(key, nonce, ciphertext, bound)
    need(hmac.compare_digest(tag(ciphertext), sealed[-16:]), "another tag")
    return text


# Values

def value_of(key, key_id, text):
    nonce = mac(key, b"lockbox/v1 nonce\n", text)[:12]
    sealed = encrypt(mac(key, b"lockbox/v1 value\n"), nonce, text, b"lockbox/v1 erasable\n" + key_id)
    return MARK + base64.urlsafe_b64encode(key_id + nonce + sealed).decode().rstrip("=")


def parse_value(value):
    """Returns the bytes of a value, or None if the field is a text."""
    if not re.fullmatch(MARK + "[A-Za-z0-9_-]+", value):
        return None
    digits = value[1:]
    try:
        data = base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    except ValueError:
        return None
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != digits or len(data) < 41:
        return None
    return data


def read_value(value, key):
    data = parse_value(value)
    if data is None:
        return "a text"
    key_id = data[:13]
    text = decrypt(mac(key, b"lockbox/v1 value\n"), data[13:25], data[25:], b"lockbox/v1 erasable\n" + key_id)
    need(value_of(key, key_id, text) == value, "it would be encrypted otherwise")
    return f"{key_id[:12].hex()} {key_id[12]} {text.decode()}"


# Pages

def read_secret(file):
    found = re.fullmatch(r"lbps1_([A-Za-z0-9+/]{43}=)\n?", file)
    need(found, "no secret")
    return base64.b64decode(found[1])


def derive(secret, purpose, *parts):
    return mac(secret, purpose, *(u32(len(p)) + p for p in parts))


def page_of(secret, owner):
    parts = [owner[name].encode() for name in ("tenant", "issuer", "subject", "address")]
    return derive(secret, b"lockbox/v1 owner\n", u32(owner["generation"]), *parts)[:12].hex()


def read_page(secret, subject, stored):
    found = re.fullmatch(r"lockbox\.key\.([0-9a-f]{24})\.(0|[1-9][0-9]*)", subject)
    need(found, "no page's subject")
    need(len(stored) >= 13 and stored[0] == 1, "another format")
    key, bound = derive(secret, b"lockbox/v1 page\n"), b"lockbox/v1 page\n" + bytes.fromhex(found[1]) + u32(int(found[2]))
    places = decrypt(key, stored[1:13], stored[13:], bound)
    need(stored[13:] == encrypt(key, stored[1:13], places, bound), "it would be encrypted otherwise")
    need(len(places) % 33 == 0 and len(places) <= 256 * 33, "a part of a place")
    keys = []
    for at in range(0, len(places), 33):
        place = places[at:at + 33]
        need(place[0] == 1 or place == bytes(33), "a place of another kind")
        keys.append(place[1:].hex() if place[0] else "-")
    return " ".join(keys) or "no keys"


def said(what, *of):
    try:
        return what(*of)
    except Refused as error:
        return f"refused: {error}"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    secret = read_secret(given["secret"])
    answers = [page_of(secret, v) for v in given["owners"]]
    answers += [said(read_value, v["value"], base64.b64decode(v["key"])) for v in given["values"]]
    answers += [said(read_page, secret, v["subject"], base64.b64decode(v["stored"] or "")) for v in given["pages"]]
    for answer in answers:
        print(json.dumps(answer))


main()
