#!/usr/bin/env python3
"""Verifies signed approvals of Lockbox. Written from the README of pkg/approval; shares nothing with the program.

    verify.py VECTORS WHAT      says of each vector of a list what it comes to

Needs Python's standard library, and cryptography for the signatures.
"""
import base64
import hashlib
import json
import re
import sys
from datetime import datetime, timedelta, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils


class Refused(Exception):
    """What is wrong."""


def need(holds, why):
    if not holds:
        raise Refused(why)


def sha256(data):
    return hashlib.sha256(data).digest()


def digest(label, data):
    return sha256(label.encode() + b"\0" + data)


# Statements

UNSEEN = [(0, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F), (0x2028, 0x202E),
          (0x2060, 0x206F), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFF), (0xE0000, 0xE0FFF)]


def canonical(value):
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def leaves(value):
    if isinstance(value, dict):
        for child in value.values():
            leaves(child)
    elif isinstance(value, list):
        for child in value:
            leaves(child)
    elif isinstance(value, str):
        need(not any(low <= ord(c) <= high for c in value for low, high in UNSEEN), "what cannot be seen")
    else:
        need(type(value) is int and 0 <= value < 2**53, "neither text nor integer")


def read(data, shape, limit=96 << 10):
    need(len(data) <= limit, "too long")
    try:
        value = json.loads(data.decode())
        spelled = canonical(value)
    except (ValueError, RecursionError) as error:
        raise Refused("no JSON") from error
    leaves(value)
    fits(value, shape)
    need(spelled == data, "another spelling")
    return value


def fits(value, shape):
    """A shape is str, int, a list of one shape, or a dictionary of them."""
    if isinstance(shape, dict):
        need(isinstance(value, dict) and set(value) == set(shape), "names")
        for name, child in shape.items():
            fits(value[name], child)
    elif isinstance(shape, list):
        need(isinstance(value, list), "no list")
        for child in value:
            fits(child, shape[0])
    else:
        need(type(value) is shape, "another type")


ACCOUNT = {"issuer": str, "subject": str}
PERSON = {"issuer": str, "subject": str, "human": str}
EVENT = {"sha256": str, "type": str, "version": int}
KEY = {"kind": str, "public": str, "credential": str, "relyingParty": str, "origins": [str], "backup": int,
       "verification": int}
ENROLMENT = {"key": KEY, "person": PERSON, "role": str}
HEAD = {"format": str, "origin": str, "genesis": str, "tenant": str, "by": ACCOUNT, "key": str, "language": str, "text": str,
        "issuedAt": str, "nonce": str}
SHAPES = {
    "lockbox-approval/v1": dict(HEAD, decision=str, request=str, subscription=str, resourceType=str, scenario=str,
                                engineer=ACCOUNT, events=[EVENT], resources=[str], seconds=int, answerBy=str, approvals=int,
                                comment=str),
    "lockbox-change/v1": dict(HEAD, change=str, kind=str, id=str, follows=EVENT, content=[{"name": str, "value": str}]),
    "lockbox-genesis/v1": {"format": str, "origin": str, "tenant": str, "replaces": str, "administrators": [ENROLMENT],
                           "recovery": KEY, "threshold": int, "demand": str, "delaySeconds": int, "recoverySeconds": int,
                           "witnesses": [str], "quorum": int, "issuedAt": str, "nonce": str},
    "lockbox-keys/v1": {"format": str, "origin": str, "tenant": str, "genesis": str, "previous": str, "number": int,
                        "change": str, "keys": [ENROLMENT], "recovery": [KEY], "remove": str, "demand": str,
                        "issuedAt": str, "nonce": str},
}
SIGNATURE = {"key": str, "authenticatorData": str, "clientDataJSON": str, "signature": str}
SIGNED = {"statement": str, "signatures": [SIGNATURE]}
FILE = {"format": str, "approvals": [SIGNED], "keys": [SIGNED], "requestReceipt": str, "keysReceipt": str}
NAMESPACES = {"lockbox-approval/v1": "lockbox-approval", "lockbox-change/v1": "lockbox-change",
              "lockbox-genesis/v1": "lockbox-keys", "lockbox-keys/v1": "lockbox-keys"}


def text(value, most):
    need(1 <= len(value.encode()) <= most, "length")


def hash_text(value):
    need(re.fullmatch("[0-9a-f]{64}", value), "no hash")


def time(value):
    m = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{0,8}[1-9]))?Z", value, re.ASCII)
    need(m, "no time")
    try:
        whole = datetime.strptime(m[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError as error:
        raise Refused("no time") from error
    need(whole.year >= 1970, "no time")
    return whole, (m[2] or "").ljust(9, "0")


def account(value):
    text(value["issuer"], 1024)
    text(value["subject"], 1024)


def event(value):
    need(value["version"] >= 1, "version")
    text(value["type"], 64)
    hash_text(value["sha256"])


def frame(s):
    text(s["origin"], 256)
    need(re.fullmatch("[a-z0-9][a-z0-9-]{1,38}[a-z0-9]", s["tenant"]), "tenant")
    time(s["issuedAt"])
    hash_text(s["nonce"])


def head(s):
    frame(s)
    hash_text(s["genesis"])
    account(s["by"])
    hash_text(s["key"])
    text(s["language"], 35)
    hash_text(s["text"])


def ascending(values):
    need(all(a < b for a, b in zip(values, values[1:])), "order")


def decision(s):
    head(s)
    rests = {"approve": "CustomerNotified", "deny": "CustomerNotified", "revoke": "AccessGranted"}
    need(s["decision"] in rests, "decision")
    text(s["request"], 128)
    text(s["resourceType"], 256)
    text(s["scenario"], 256)
    account(s["engineer"])
    need(len(s["subscription"].encode()) <= 128, "subscription")
    need(1 <= len(s["events"]) <= 64, "events")
    for e in s["events"]:
        event(e)
    ascending([e["version"] for e in s["events"]])
    types = [e["type"] for e in s["events"]]
    need({"AccessEvaluated", rests[s["decision"]]} <= set(types), "what it rests on")
    need(s["events"][0]["version"] == 1 and types[0] == "AccessRequested", "the opening")
    if s["comment"]:
        hash_text(s["comment"])
    if s["decision"] == "approve":
        need(1 <= s["seconds"] <= 366 * 86400 and 1 <= len(s["resources"]) <= 50, "nothing is allowed")
        for r in s["resources"]:
            text(r, 4096)
        ascending([r.encode() for r in s["resources"]])
    else:
        need(s["seconds"] == 0 and not s["resources"], "something is allowed")
    if s["decision"] == "revoke":
        need(s["answerBy"] == "" and s["approvals"] == 0, "a revocation")
    else:
        need(1 <= s["approvals"] <= 100, "approvals")
        need(time(s["issuedAt"]) < time(s["answerBy"]), "too late")


CHANGES = {"switch-off", "leave-preview", "settings", "roles", "sign-in", "transfer", "standing-approval"}


def change(s):
    head(s)
    need(s["change"] in CHANGES and s["kind"] in ("tenant", "subscription"), "change")
    need(s["kind"] == "subscription" or s["id"] == s["tenant"], "tenant")
    text(s["id"], 128)
    event(s["follows"])
    need(1 <= len(s["content"]) <= 512, "content")
    for part in s["content"]:
        text(part["name"], 128)
        need(len(part["value"].encode()) <= 4096, "value")
    ascending([part["name"].encode() for part in s["content"]])


def enrolment(e):
    account(e["person"])
    need(len(e["person"]["human"].encode()) <= 255 and e["role"] in ("administrator", "approver"), "enrolment")


def same(a, b):
    return (a["issuer"], a["subject"]) == (b["issuer"], b["subject"]) or a["human"] != "" and a["human"] == b["human"]


def people(enrolments):
    found = []
    for e in enrolments:
        if not any(same(e["person"], p) for p in found):
            found.append(e["person"])
    return len(found)


DEMANDS = ["none", "signatures", "command-line"]


def genesis(s):
    frame(s)
    if s["replaces"]:
        hash_text(s["replaces"])
    need(len(s["administrators"]) <= 32, "administrators")
    for e in s["administrators"]:
        enrolment(e)
        need(e["role"] == "administrator", "role")
    need(2 <= s["threshold"] <= people(s["administrators"]), "threshold")
    need(s["recovery"]["kind"] == "ssh" and s["demand"] in DEMANDS, "recovery or demand")
    need(1 <= s["delaySeconds"] <= s["recoverySeconds"] <= 90 * 86400, "delays")
    need(1 <= len(s["witnesses"]) <= 16, "witnesses")
    for w in s["witnesses"]:
        text(w, 512)
        need(w.count("+") >= 2, "witness")
    ascending([w.encode() for w in s["witnesses"]])
    need(len(s["witnesses"]) < 2 * s["quorum"] and s["quorum"] <= len(s["witnesses"]), "quorum")


def key_change(s):
    frame(s)
    hash_text(s["genesis"])
    hash_text(s["previous"])
    need(s["number"] >= 2, "number")
    for e in s["keys"]:
        enrolment(e)
        need(s["change"] != "recover" or e["role"] == "administrator", "role")
    if s["remove"]:
        hash_text(s["remove"])
    need(s["demand"] in DEMANDS + [""], "demand")
    need(all(k["kind"] == "ssh" for k in s["recovery"][:1]), "recovery")
    parts = (len(s["keys"]), len(s["recovery"]), s["remove"] != "", s["demand"] != "")
    wanted = {"add": (1, 0, False, False), "recover": (max(1, min(32, len(s["keys"]))), 0, False, False),
              "replace-recovery": (0, 1, False, False), "remove": (0, 0, True, False), "demand": (0, 0, False, True)}
    need(parts == wanted.get(s["change"]), "change")


CHECKS = {"lockbox-approval/v1": decision, "lockbox-change/v1": change, "lockbox-genesis/v1": genesis,
          "lockbox-keys/v1": key_change}


def statement(format, data):
    s = read(data, SHAPES[format])
    need(s["format"] == format, "format")
    CHECKS[format](s)
    return s


def words(data, n):
    bits = int.from_bytes(data, "big")
    found = []
    for i in range(3 * n):
        six = bits >> (250 - 6 * i) & 63
        found.append("bdfghjkmnprstwyz"[six >> 2] + "aeio"[six & 3])
    return ["".join(found[i:i + 3]) for i in range(0, 3 * n, 3)]


# Keys and signatures

def unbase64(value, least, most):
    need(re.fullmatch("[A-Za-z0-9_-]*", value), "base64url")
    try:
        data = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except ValueError as error:
        raise Refused("base64url") from error
    need(base64.urlsafe_b64encode(data).rstrip(b"=").decode() == value and least <= len(data) <= most, "base64url")
    return data


def wire(data, *kinds):
    """Reads SSH's types: u8, u32, text. Nothing may follow."""
    found = []
    for kind in kinds:
        size = {"u8": 1, "u32": 4, "text": 4}[kind]
        need(len(data) >= size, "cut off")
        value, data = int.from_bytes(data[:size], "big"), data[size:]
        if kind == "text":
            need(len(data) >= value, "cut off")
            value, data = data[:value], data[value:]
        found.append(value)
    need(not data, "something follows")
    return found


def ssh_text(*values):
    return b"".join(len(v).to_bytes(4, "big") + v for v in values)


P = 2**255 - 19


def ed_key(raw):
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    # y of a point of small order is 0, 1, -1, or one of two for the points of order eight.
    order8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
    need(y % P not in (0, 1, P - 1, order8, P - order8), "small order")
    return ed25519.Ed25519PublicKey.from_public_bytes(raw)


def ec_key(point):
    need(len(point) == 65 and point[0] == 4, "point")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise Refused("point") from error


def cose(data):
    m = re.fullmatch(rb"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20(.{32})\x22\x58\x20(.{32})", data, re.DOTALL)
    if m:
        return ec_key(b"\4" + m[1] + m[2])
    m = re.fullmatch(rb"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20(.{32})", data, re.DOTALL)
    if m:
        return ed_key(m[1])
    m = re.fullmatch(rb"\xa4\x01\x03\x03\x39\x01\x00\x20\x59(..)(.*)\x21\x43\x01\x00\x01", data, re.DOTALL)
    need(m and len(m[2]) == int.from_bytes(m[1], "big") in (256, 384, 512), "COSE")
    need(m[2][0] >= 0x80 and m[2][-1] & 1, "modulus")
    return rsa.RSAPublicNumbers(65537, int.from_bytes(m[2], "big")).public_key()


def ssh_key(data):
    algorithm = wire(data[:4 + int.from_bytes(data[:4], "big")], "text")[0]
    kinds = {b"ssh-ed25519": 2, b"ecdsa-sha2-nistp256": 3, b"sk-ssh-ed25519@openssh.com": 3,
             b"sk-ecdsa-sha2-nistp256@openssh.com": 4}
    need(algorithm in kinds, "algorithm")
    parts = wire(data, *["text"] * kinds[algorithm])
    application = b""
    if algorithm.startswith(b"sk-"):
        application = parts.pop()
        need(application.startswith(b"ssh:"), "application")
    if b"ed25519" in algorithm:
        need(len(parts[1]) == 32, "key")
        return algorithm, ed_key(parts[1]), application
    need(parts[1] == b"nistp256", "curve")
    return algorithm, ec_key(parts[2]), application


HOST = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?|localhost")


def opened(key):
    public = unbase64(key["public"], 1, 1024)
    need(key["backup"] in (0, 1) and key["verification"] in (0, 1), "backup or verification")
    if key["kind"] == "ssh":
        need(key["credential"] == key["relyingParty"] == "" and not key["origins"] and key["backup"] == 0, "SSH")
        algorithm, verifier, application = ssh_key(public)
        need(application or key["verification"] == 0, "verification")
        return verifier, algorithm, application
    need(key["kind"] == "webauthn" and key["verification"] == 1, "kind")
    unbase64(key["credential"], 1, 1023)
    host = key["relyingParty"]
    need(HOST.fullmatch(host) and len(host) <= 253, "host")
    need(1 <= len(key["origins"]) <= 4, "origins")
    ascending([o.encode() for o in key["origins"]])
    for origin in key["origins"]:
        m = re.fullmatch(r"(https?)://" + re.escape(host) + r"(?::([1-9][0-9]{0,4}))?", origin)
        need(m and (m[1] == "https" or host == "localhost"), "origin")
        need(not m[2] or int(m[2]) <= 65535 and int(m[2]) != {"https": 443, "http": 80}[m[1]], "port")
    return cose(public), None, b""


def key_id(key):
    fits(key, KEY)
    leaves(key)
    opened(key)
    return digest("lockbox-key/v1", canonical(key)).hex()


def strict_der(signature):
    try:
        r, s = utils.decode_dss_signature(signature)
    except ValueError as error:
        raise Refused("DER") from error
    need(utils.encode_dss_signature(r, s) == signature, "DER")


def holds(verifier, signature, message):
    try:
        if isinstance(verifier, ed25519.Ed25519PublicKey):
            verifier.verify(signature, message)
        elif isinstance(verifier, rsa.RSAPublicKey):
            verifier.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            strict_der(signature)
            verifier.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise Refused("signature") from error


def verify(key, signature, format, data):
    """Returns the counter."""
    verifier, algorithm, application = opened(key)
    if key["kind"] == "ssh":
        return verify_ssh(key, verifier, algorithm, application, signature, format, data)
    authenticator = unbase64(signature["authenticatorData"], 1, 1024)
    client = unbase64(signature["clientDataJSON"], 1, 2048)
    raw = unbase64(signature["signature"], 1, 512)
    challenge = base64.urlsafe_b64encode(digest(format, data)).rstrip(b"=").decode()
    starts = ['{"type":"webauthn.get","challenge":"%s","origin":"%s","crossOrigin":false' % (challenge, o)
              for o in key["origins"]]
    rest = [client[len(s):] for s in starts if client.startswith(s.encode())]
    need(rest, "client data")
    if rest[0] != b"}":
        need(rest[0].startswith(b',"'), "client data")
        taken = []
        try:
            json.loads(client.decode(), object_pairs_hook=lambda pairs: taken.append([k.lower() for k, _ in pairs]),
                       parse_constant=lambda _: need(False, "client data"))
        except ValueError as error:
            raise Refused("client data") from error
        names = taken[-1]
        need(all(names.count(n) == 1 for n in ("type", "challenge", "origin", "crossorigin")), "a name twice")
        need("toporigin" not in names, "inside another page")
    need(len(authenticator) == 37 and authenticator[:32] == sha256(key["relyingParty"].encode()), "relying party")
    flags = authenticator[32]
    need(flags & ~0x1D == 0 and flags & 5 == 5 and (flags & 0x10 == 0 or flags & 8), "flags")
    need(flags >> 3 & 1 == key["backup"], "backup")
    holds(verifier, raw, authenticator + sha256(client))
    return int.from_bytes(authenticator[33:], "big")


def verify_ssh(key, verifier, algorithm, application, signature, format, data):
    need(signature["authenticatorData"] == signature["clientDataJSON"] == "", "WebAuthn")
    blob = unbase64(signature["signature"], 1, 2048)
    need(blob[:10] == b"SSHSIG\0\0\0\1", "SSHSIG")
    public, namespace, reserved, hash_name, inner = wire(blob[10:], *["text"] * 5)
    need(public == unbase64(key["public"], 1, 1024), "another key")
    need(namespace == (NAMESPACES[format] + "@openlockbox.github.io").encode(), "namespace")
    need(reserved == b"" and hash_name == b"sha512", "reserved or hash")
    message = b"SSHSIG" + ssh_text(namespace, b"", b"sha512", hashlib.sha512(data).digest())
    counter = 0
    if application:
        of, raw, flags, counter = wire(inner, "text", "text", "u8", "u32")
        need(flags & ~0x1D == 0 and flags & 1, "flags")
        need(key["verification"] == 0 or flags & 4, "verification")
        message = sha256(application) + bytes([flags]) + counter.to_bytes(4, "big") + sha256(message)
    else:
        of, raw = wire(inner, "text", "text")
    need(of == algorithm, "algorithm")
    if b"ecdsa" in algorithm:
        numbers = []
        for number in wire(raw, "text", "text"):
            need(1 <= len(number) <= 33 and number[0] < 0x80 and (number[0] or len(number) > 1 and number[1] >= 0x80), "number")
            numbers.append(int.from_bytes(number, "big"))
        raw = utils.encode_dss_signature(*numbers)
    need(b"ecdsa" in algorithm or len(raw) == 64, "signature")
    holds(verifier, raw, message)
    return counter


# Decisions

IDLE = {"ApprovalReminderDue", "CustomerApproved", "InternalReminderDue"}


def within(s, terms, version):
    for name in ("tenant", "request", "subscription", "resourceType", "scenario", "engineer"):
        need(s[name] == terms[name], name)
    need(all(e in terms["events"] for e in s["events"]), "events")
    last = s["events"][-1]["version"]
    need(last < version, "before what it rests on")
    if s["decision"] == "approve":
        need(all(e["type"] in IDLE for e in terms["events"] if last < e["version"] < version), "something came since")
    if s["decision"] == "revoke":
        return
    need(s["answerBy"] == terms["answerBy"] and s["approvals"] == terms["approvals"], "deadline or number")
    need(s["by"] in terms["approvers"] and s["seconds"] <= terms["seconds"], "approver or duration")
    need(all(r in terms["resources"] for r in s["resources"]), "resources")


# Chains

def instant(value):
    whole, fraction = time(value)
    return int((whole - datetime(1970, 1, 1, tzinfo=timezone.utc)) / timedelta(seconds=1)) * 10**9 + int(fraction)


class Clock:
    def __init__(self, g, sightings):
        self.sightings = []
        for s in sightings:
            first = {}
            for c in s["cosigned"] or []:
                if c["witness"] in g["witnesses"]:
                    at = instant(c["at"])
                    first[c["witness"]] = min(at, first.get(c["witness"], at))
            times = sorted(first.values())
            if len(times) >= g["quorum"]:
                self.sightings.append((s["size"], times[g["quorum"] - 1], times[-g["quorum"]]))
        self.sightings.sort()

    def published(self, n):
        return min((by for size, by, _ in self.sightings if size >= n), default=None)

    def after(self, n):
        return max((since for size, _, since in self.sightings if size < n), default=None)

    def since(self, n, seconds):
        start = self.published(n)
        if start is not None:
            for size, _, since in self.sightings:
                if size >= n and since >= start + seconds * 10**9:
                    return size + 1
        return 0


class Chain:
    def __init__(self, entries, sightings):
        need(entries, "no genesis")
        first = entries[0]
        data = first["statement"].encode()
        g = self.genesis = statement("lockbox-genesis/v1", data)
        need(first["sequence"] >= 1, "sequence")
        self.clock, self.keys = Clock(g, sightings), []
        self.fingerprint = digest("lockbox-genesis/v1", data)
        start = self.clock.since(first["sequence"], g["recoverySeconds"]) if g["replaces"] else first["sequence"]
        for e in g["administrators"]:
            self.enrol(e["key"], e, first["sequence"], start)
        self.enrol(g["recovery"], None, first["sequence"], start)
        need(len(self.signers(first, "lockbox-genesis/v1")) == len(self.keys), "possession")
        self.demands = [(g["demand"], first["sequence"])]
        self.last, self.number, self.sequence = self.fingerprint, 1, first["sequence"]
        for e in entries[1:]:
            self.add(e)

    def enrol(self, key, enrolment_, added, start):
        id_ = key_id(key)
        for k in self.keys:
            need(k["key"]["public"] != key["public"], "enrolled before")
            need(key["credential"] == "" or k["key"]["credential"] != key["credential"], "enrolled before")
        self.keys.append({"id": id_, "key": key, "enrolment": enrolment_, "added": added, "from": start, "removed": 0})

    def key(self, id_):
        found = [k for k in self.keys if k["id"] == id_]
        need(found, "no key of this chain")
        return found[0]

    def counts(self, k, n):
        return k["from"] and k["from"] <= n and (not k["removed"] or n < k["removed"])

    def demand(self, n):
        found = [d for d, start in self.demands if start and start <= n]
        return found[-1] if found else ""

    def signers(self, e, format):
        need(1 <= len(e["signatures"]) <= 33, "signatures")
        ascending([s["key"] for s in e["signatures"]])
        for s in e["signatures"]:
            verify(self.key(s["key"])["key"], s, format, e["statement"].encode())
        return [self.key(s["key"]) for s in e["signatures"]]

    def add(self, e):
        c, n, g = statement("lockbox-keys/v1", e["statement"].encode()), e["sequence"], self.genesis
        need((c["origin"], c["tenant"], c["genesis"]) == (g["origin"], g["tenant"], self.fingerprint.hex()), "another chain")
        need(c["number"] == self.number + 1 and c["previous"] == self.last.hex() and n > self.sequence, "place")
        before = self.demand(n)
        wait = self.clock.since(n, g["recoverySeconds" if c["change"] == "recover" else "delaySeconds"])
        offline = [k for k in self.keys if not k["enrolment"] and self.counts(k, n)][-1:]
        for new in c["keys"]:
            self.enrol(new["key"], new, n, wait)
        for new in c["recovery"]:
            self.enrol(new, None, n, wait)
        signed = self.signers(e, "lockbox-keys/v1")
        own = [k for k in signed if k["added"] == n]
        need(len(own) == len(c["keys"]) + len(c["recovery"]), "possession")
        recovery = [k for k in signed if k in offline]
        old = [k for k in signed if k not in own and k not in recovery]
        need(all(k["enrolment"] and self.counts(k, n) for k in old), "a key that does not count")
        self.allow(c, before, recovery, [k["enrolment"] for k in old])
        if c["change"] == "remove":
            self.key(c["remove"])["removed"] = n
        if c["change"] == "demand":
            self.demands = [d for d in self.demands if d[1] and d[1] <= n]
            lower = DEMANDS.index(c["demand"]) < (DEMANDS.index(before) if before else -1)
            self.demands.append((c["demand"], wait if lower else n))
        self.last, self.number, self.sequence = digest("lockbox-keys/v1", e["statement"].encode()), c["number"], n

    def allow(self, c, before, recovery, old):
        administrators = [e for e in old if e["role"] == "administrator"]
        enough = not recovery and len(administrators) == len(old) and people(administrators) >= self.genesis["threshold"]
        if c["change"] == "add":
            new = c["keys"][0]
            alone = len(old) == 1 and not recovery and old[0]["person"] == new["person"]
            need(alone and (administrators or new["role"] == "approver") or enough, "authority")
        elif c["change"] == "replace-recovery":
            need(enough, "authority")
        elif c["change"] == "demand":
            lower = DEMANDS.index(c["demand"]) < (DEMANDS.index(before) if before else -1)
            need(enough if lower else old and administrators == old and not recovery, "authority")
        elif c["change"] == "recover":
            need(recovery and not old, "authority")
        else:
            gone = self.key(c["remove"])
            need(gone["enrolment"] and not gone["removed"], "nothing to remove")
            need(recovery or administrators or any(same(e["person"], gone["enrolment"]["person"]) for e in old), "authority")

    def approves(self, stored):
        s = statement("lockbox-approval/v1", stored["statement"].encode())
        g = self.genesis
        need((s["origin"], s["tenant"], s["genesis"]) == (g["origin"], g["tenant"], self.fingerprint.hex()), "another chain")
        need(len(stored["signatures"]) == 1 and stored["signatures"][0]["key"] == s["key"], "signatures")
        k = self.key(s["key"])
        need(k["enrolment"] and self.counts(k, stored["sequence"]), "a key that does not count")
        need(all(k["enrolment"]["person"][n] == s["by"][n] for n in ("issuer", "subject")), "another's key")
        verify(k["key"], stored["signatures"][0], "lockbox-approval/v1", stored["statement"].encode())
        return s, k


def verify_file(v):
    f = read(v["file"].encode(), FILE, 64 << 20)
    need(f["format"] == "lockbox-approval-file/v1", "format")
    keys = [dict(signed, sequence=n) for signed, n in zip(f["keys"], v["keys"])]
    chain = Chain(keys, v["sightings"])
    need(chain.fingerprint.hex() == v["pin"], "pin")
    need((chain.genesis["origin"], chain.genesis["tenant"]) == (v["origin"], v["tenant"]), "another log")
    need(f["approvals"], "no approval")
    given = []
    for signed, place in zip(f["approvals"], v["approvals"]):
        s, k = chain.approves(dict(signed, sequence=place["sequence"]))
        need(s["decision"] == "approve", "no approval")
        within(s, v["terms"], place["version"])
        given.append((s, k))
    last = v["approvals"][-1]["sequence"]
    need(people([k["enrolment"] for _, k in given]) >= v["terms"]["approvals"], "too few people")
    need(chain.demand(last) != "command-line" or any(k["key"]["kind"] == "ssh" for _, k in given), "demand")
    as_of = chain.clock.published(v["keysSize"])
    need(v["keysSize"] >= last and as_of is not None, "as of")
    deadline, after = instant(given[0][0]["answerBy"]), chain.clock.after(last)
    need(after is None or after < deadline, "too late")
    published = chain.clock.published(last)
    need(published is not None, "seen by nobody")
    return "as of %d, on time: %s" % (as_of, str(published < deadline).lower())


def answer(what, v):
    if what == "words":
        return " ".join(words(bytes.fromhex(v["digest"]), len(v["words"])))
    if what == "keys":
        return key_id(v["key"])
    if what == "signatures":
        return "counter %d" % verify(v["key"], v["signature"], v["format"], v["statement"].encode())
    if what == "statements":
        statement(v["format"], v["statement"].encode())
        return digest(v["format"], v["statement"].encode()).hex()
    if what == "decisions":
        within(statement("lockbox-approval/v1", v["statement"].encode()), v["terms"], v["version"])
        return "holds"
    if what == "chains":
        chain = Chain(v["entries"] or [], v["sightings"])
        keys = ["%s %d %d %d" % (k["id"], k["added"], k["from"], k["removed"]) for k in chain.keys if k["enrolment"]]
        demands = ["%d %s" % (d["sequence"], chain.demand(d["sequence"])) for d in v["demands"]]
        return "; ".join(keys + demands)
    return verify_file(v)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        vectors = json.load(file)
    for v in vectors[sys.argv[2]]:
        try:
            print(answer(sys.argv[2], v))
        except Refused as why:
            print("refused: %s" % why)


main()
