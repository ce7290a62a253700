#!/usr/bin/env python3
"""Verifies receipts of Lockbox. Written from FORMATS.md alone; shares nothing with the program that makes them.

    receipt.py POLICY RECEIPT...    says of each receipt what its proofs prove, whatever its events say
    receipt.py --bound POLICY FILE  says of each receipt in FILE what it proves of events
    receipt.py --sentences FILE     says of each vector in FILE what is concluded from it
    receipt.py --heads FILE         says of each proof of a head in FILE what it proves

Needs Python's standard library, and openssl for signatures.
"""
import base64
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

ZERO = bytes(32)
PROOF = list  # of hashes


class Refused(Exception):
    """What is wrong."""


def need(holds, why):
    if not holds:
        raise Refused(why)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def u64(n):
    return n.to_bytes(8, "big")


# Form

HASH = "hash"
FIELDS = {
    "receipt": {"format": str, "tenant": str, "about": str, "count": int, "events": list, "proof": list, "head": dict,
                "tenantCheckpoint": dict, "directoryProof": PROOF, "checkpoint": str, "writers": list},
    "event": {"streamSequence": int, "tenantSequence": int, "subject": str, "position": HASH, "commitment": HASH,
              "withheld": bool, "salt": HASH, "bytes": bytes, "proof": PROOF},
    "head": {"version": int, "count": int, "running": HASH, "proof": list},
    "step": {"bit": int, "sibling": HASH},
    "slot": {"size": int, "root": HASH, "heads": HASH, "slot": int, "slots": int, "salt": HASH, "directory": HASH,
             "proof": PROOF},
}


def unbase64(text, size=None):
    need(isinstance(text, str), "no base64")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused("no base64") from error
    need(base64.b64encode(data).decode() == text and size in (None, len(data)), "base64 in another spelling")
    return data


def fields(kind, of, optional=()):
    """Returns an object with its fields, in their order, read by their types."""
    need(isinstance(of, dict), f"no {kind}")
    want = [name for name in FIELDS[kind] if name in of or name not in optional]
    need(list(of) == want, f"the fields of a {kind} are {list(of)}")
    read = {}
    for name, value in of.items():
        typ = FIELDS[kind][name]
        if typ is HASH:
            value = unbase64(value, 32)
        elif typ is bytes:
            value = unbase64(value)
            need(value, "empty bytes are left out")
        elif typ is int:
            need(type(value) is int and 0 <= value < 2**53, f"{name} is no number")
        else:
            need(isinstance(value, typ), f"{name} is of another type")
        if name in ("proof", "directoryProof") and kind != "head":
            need(len(value) <= 64 or kind == "receipt", "a proof is too long")
            value = [unbase64(h, 32) for h in value]
        read[name] = value
    return read


def spelled(of):
    text = json.dumps(of, indent=2, ensure_ascii=False) + "\n"
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()


def parse(file):
    need(len(file) <= 64 << 20, "too long")
    try:
        raw = json.loads(file.decode())
        need(spelled(raw) == file, "not in its one spelling")
    except ValueError as error:
        raise Refused("no JSON") from error
    need(isinstance(raw, dict), "no object")
    first, third = raw.get("format") == "lockbox-receipt/v1", raw.get("format") == "lockbox-receipt/v3"
    need(first or third or raw.get("format") == "lockbox-receipt/v2", "another format")
    need(("head" in raw) != first, "a head belongs to format 2, and to that alone")
    need(("proof" in raw) == ("writers" in raw) == third, "one proof and certificates belong to v3, and to that alone")
    r = fields("receipt", raw, ("head", "proof", "writers"))
    for c in r.get("writers", []):
        need(isinstance(c, str) and len(c.encode()) <= 2048, "no certificate")
    need(len(r.get("writers", [])) <= 256, "too many certificates")
    slot = raw["tenantCheckpoint"]
    need(isinstance(slot, dict) and ("heads" in slot) != first, "a root of heads belongs to format 2")
    r["slot"] = fields("slot", slot, ("heads",))
    r["events"] = [event(e, third) for e in r["events"]]
    need(r["count"] == len(r["events"]) > 0, "the count is wrong")
    need(not first or all(e["format"] == 1 for e in r["events"]), "a leaf of a later format")
    if not first:
        r["head"] = fields("head", r["head"])
        r["head"]["proof"] = [fields("step", s) for s in r["head"]["proof"]]
    return r


def event(raw, third):
    e = fields("event", raw, ("streamSequence", "position", "withheld", "salt", "bytes", "proof"))
    need(("proof" in e) != third, "each event has a proof, or all have one")
    e["format"] = 2 if "position" in e else 1
    need(("streamSequence" in e) == (e["format"] == 1), "position or stream sequence, as the format says")
    withheld = "withheld" in e
    need(not withheld or e["withheld"], "withheld is true or left out")
    need(withheld == ("salt" not in e) and not (withheld and "bytes" in e), "shown or withheld")
    need(1 <= e["tenantSequence"] <= 2**48, "tenant sequences count from 1")
    need(e["format"] == 2 or e["streamSequence"] >= e["tenantSequence"], "more events than in the stream")
    need(1 <= len(e["subject"].encode()) <= 4096, "no subject")
    return e


# Signatures: C2SP signed-note, tlog-checkpoint and tlog-cosignature

def signed_by(public, signature, message):
    der = bytes.fromhex("302a300506032b6570032100") + public
    with tempfile.TemporaryDirectory() as place:
        for name, data in {"key": der, "signature": signature, "message": message}.items():
            with open(os.path.join(place, name), "wb") as out:
                out.write(data)
        return subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key", "-keyform", "DER", "-rawin", "-in", "message",
             "-sigfile", "signature"], cwd=place, capture_output=True, check=False).returncode == 0


def vkey(text, typ):
    name, number, key = text.split("+", 2)
    data = base64.b64decode(key, validate=True)
    assert data[0] == typ and len(data) == 33 and sha(name.encode(), b"\n", data)[:4].hex() == number
    return name, data[1:]


def read_policy(text):
    witnesses, groups = {}, {"none": (0, [])}
    for line in text.splitlines():
        word, *rest = line.split("#")[0].split() or [""]
        if word == "log":
            log = vkey(rest[0], 1)
        elif word == "witness":
            witnesses[rest[0]] = vkey(rest[1], 4)
            groups[rest[0]] = (1, [rest[0]])
        elif word == "group":
            names = rest[2:]
            groups[rest[0]] = ({"any": 1, "all": len(names)}.get(rest[1]) or int(rest[1]), names)
        elif word == "quorum":
            number, names = groups[rest[0]]
            return log, [witnesses[name] for name in names], number
    raise SystemExit("the policy says no quorum")


def open_note(note, policy):
    """Returns size and root of the global tree, and the times that witnesses say."""
    log, witnesses, quorum = policy
    text, gap, end = note.partition("\n\n")
    need(gap and end.endswith("\n"), "no signed note")
    text += "\n"
    by, seen, times = set(), set(), []
    for line in end[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, data = rest.partition(" ")
        need(dash == "—" and name, "no line of a signature")
        data = unbase64(data)
        need(len(data) >= 5 and (name, data[:4]) not in seen, "a signature twice")
        seen.add((name, data[:4]))
        for typ, (known, public) in [(1, log)] + [(4, w) for w in witnesses]:
            if name != known or data[:4] != sha(name.encode(), b"\n", bytes([typ]), public)[:4]:
                continue
            message, signature = text.encode(), data[4:]
            if typ == 4:
                need(len(signature) == 72, "no cosignature")
                at = int.from_bytes(signature[:8], "big")
                message, signature = f"cosignature/v1\ntime {at}\n".encode() + message, signature[8:]
            need(signed_by(public, signature, message), f"the signature of {name}")
            by.add(public)
            if typ == 4:
                times.append(at)
    need(log[1] in by, "the log did not sign")
    need(len(by) - 1 >= quorum, "too few witnesses")
    lines = text.split("\n")
    need(len(lines) == 4 and lines[0] == log[0] and lines[1].isdecimal() and str(int(lines[1])) == lines[1], "no checkpoint")
    return int(lines[1]), unbase64(lines[2], 32), times


# Trees: RFC 6962

def leaf_hash(entry):
    return sha(b"\0", entry)


def included(leaf, index, size, proof, root):
    if not 0 <= index < size:
        return False
    proof = list(proof)

    def root_of(index, size):
        if size == 1:
            return leaf
        split = 1 << (size - 1).bit_length() - 1
        need(proof, "a proof is too short")
        other = proof.pop()
        if index < split:
            return sha(b"\1", root_of(index, split), other)
        return sha(b"\1", other, root_of(index - split, size - split))

    return root_of(index, size) == root and not proof


def together(leaves, size, proof, root):
    """Whether these leaves, by number, and the hashes of subtrees without any are the tree."""
    proof = list(proof)

    def over(first, n):
        if not any(first <= number < first + n for number in leaves):
            need(proof, "a proof is too short")
            return proof.pop(0)
        if n == 1:
            return leaves[first]
        half = 1 << (n - 1).bit_length() - 1
        left = over(first, half)
        return sha(b"\1", left, over(first + half, n - half))

    return all(number < size for number in leaves) and over(0, size) == root and not proof


# Heads

def bit_of(key, bit):
    return key[bit // 8] >> (7 - bit % 8) & 1


def head_key(about):
    return sha(b"lockbox/v2 aggregate\n", about.encode())


def head_hash(head):
    return sha(b"\2\2", head["key"], u64(head["version"]), u64(head["count"]), head["running"])


def then(running, leaf):
    return sha(b"lockbox/v2 head\n", running, leaf)


def check_head(root, head, path, about):
    """Returns whether the aggregate has this head; False: the proof shows that it has none."""
    key = head_key(about)
    if root == ZERO and not path and head == {"key": ZERO, "version": 0, "count": 0, "running": ZERO}:
        return False
    need(1 <= head["count"] <= 2**48, "a head counts leaves")
    before = -1
    for step in path:
        need(before < step["bit"] <= 255, "bits do not increase")
        before = step["bit"]
        need(bit_of(key, before) == bit_of(head["key"], before), "the search does not end there")
    found = head_hash(head)
    for step in reversed(path):
        pair = [found, step["sibling"]] if bit_of(key, step["bit"]) == 0 else [step["sibling"], found]
        found = sha(b"\3", bytes([step["bit"]]), *pair)
    need(found == root, "the head is not in the trie")
    return head["key"] == key


def trie(heads, bit=0):
    """Returns the root of the heads' trie, made at once."""
    if len(heads) == 1:
        return head_hash(heads[0])
    sides = [[h for h in heads if bit_of(h["key"], bit) == side] for side in (0, 1)]
    if not sides[0] or not sides[1]:
        return trie(heads, bit + 1)
    return sha(b"\3", bytes([bit]), trie(sides[0], bit + 1), trie(sides[1], bit + 1))


# Receipts

def verify(file, policy):
    return conclude(proved(parse(file), policy))


def conclude(r):
    return f"{len(r['events'])} of {r['of']['count']}, version {r['of']['version']}"


def proved(r, policy):
    """Checks all proofs, and returns the receipt with what the log committed to, and when witnesses saw it."""
    size, root, r["times"] = open_note(r["checkpoint"], policy)
    slot, new = r["slot"], r["format"] != "lockbox-receipt/v1"
    form = b"\2" if new else b"\1"
    slots = slot["slots"]
    need(1 <= len(r["tenant"].encode()) <= 256 and 1 <= slot["size"] <= 2**48, "no such slot")
    need(not new or slots >= 64 and slots & (slots - 1) == 0, "slots are no power of two")
    entry = b"".join([form, slot["salt"], u64(slot["slot"]), u64(slot["size"]), slot["root"],
                      slot["heads"] if new else b"", r["tenant"].encode()])
    need(included(leaf_hash(entry), slot["slot"], slots, slot["proof"], slot["directory"]), "the slot")
    entry = form + u64(slots) + slot["directory"]
    need(included(leaf_hash(entry), size - 1, size, r["directoryProof"], root), "the directory")
    head = {"version": 0, "count": 0}
    if new:
        head = dict(r["head"], key=head_key(r["about"]))
        path = head.pop("proof")
        need(check_head(slot["heads"], head, path, r["about"]), "the head")
    running, before, leaves = ZERO, None, {}
    for number, e in enumerate(r["events"], 1):
        begin, typ = f"{r['about']}.{number}.", e["subject"].rpartition(".")[2]
        need(r["about"] and e["subject"] == begin + typ and re.fullmatch("[A-Z][A-Za-z0-9]*", typ), "not that version")
        if before:
            need(e["tenantSequence"] > before["tenantSequence"] and e["format"] >= before["format"], "out of order")
            need(e["format"] == 2 or e["streamSequence"] - before["streamSequence"] >=
                 e["tenantSequence"] - before["tenantSequence"], "no room for what lies between")
        before = e
        entry = (b"\2" + u64(e["tenantSequence"]) + e["position"] if e["format"] == 2 else
                 b"\1" + u64(e["streamSequence"]) + u64(e["tenantSequence"])) + e["commitment"] + e["subject"].encode()
        leaf = leaf_hash(entry)
        need(leaf and ("proof" not in e or included(leaf, e["tenantSequence"] - 1, slot["size"], e["proof"], slot["root"])),
             "the leaf")
        leaves[e["tenantSequence"] - 1] = leaf
        running = then(running, leaf)
    need("proof" not in r or together(leaves, slot["size"], r["proof"], slot["root"]), "the leaves")
    for e in r["events"]:
        tag = f"lockbox/v{e['format']} event\n".encode()
        need("withheld" in e or sha(tag, e["salt"], e.get("bytes", b"")) == e["commitment"], "the bytes")
    shown = len(r["events"])
    if new:
        need(shown <= head["count"] <= slot["size"] and head["version"] >= shown, "the head contradicts the leaves")
        need(head["count"] > shown or (head["version"], head["running"]) == (shown, running), "the head contradicts the leaves")
    r["of"] = head
    return r


# Events

DECIDED = ("request", "tenant", "subscription", "ownership", "ticket", "policy", "disclosure", "signing")
REPORTED = ("delivery", "checkpoint", "alarm", "digest", "session")
WRITERS = {}  # by kind and type
TYPES = {}  # by the number of the field


def read_facts(paper):
    """Reads the table of facts from the paper."""
    for kind, writer, facts in re.findall(r"^\| ([a-z]+) \| ([a-z-]+) \| (\d+ \w+(?:, \d+ \w+)*) \|$", paper, re.M):
        for one in facts.split(", "):
            number, name = one.split()
            TYPES[int(number)] = name
            WRITERS[kind, name] = writer


def about_whom(r):
    tokens = r["about"].split(".")
    need(len(tokens) == 5 and tokens[:2] == ["lockbox", "event"], "about no aggregate")
    tenant, kind, name = tokens[2:]
    need(tenant == "_" or re.fullmatch("[a-z0-9][a-z0-9-]{1,38}[a-z0-9]", tenant), "no tenant")
    need(re.fullmatch("[a-z]+", kind) and kind not in REPORTED, "no kind with versions")
    need(re.fullmatch("[A-Za-z0-9_-]{1,128}", name), "no id")
    for e in r["events"]:
        demand = e["subject"].rpartition(".")[2] == "LegalDemandDisclosed"
        need(r["tenant"] == ("_" if demand else tenant) and (not demand or kind == "disclosure"), "in another's tree")


def varint(data, at):
    value = shift = 0
    while True:
        need(at < len(data) and shift < 64, "no number")
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def message(data):
    """Returns number, wire type, value and the place where it begins of each field of a message."""
    found, at = [], 0
    while at < len(data):
        begin = at
        key, at = varint(data, at)
        need(key >> 3, "no field")
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            if key & 7 == 2:
                size, at = varint(data, at)
            else:
                size = {1: 8, 5: 4}.get(key & 7, 1 << 64)
            need(at + size <= len(data), "no message")
            value, at = data[at:at + size], at + size
        found.append((key >> 3, key & 7, value, begin))
    return found


def shown_event(e):
    """Returns the kind, type, version and seconds of an event's bytes, which are those of its subject."""
    found, facts = {}, []
    for number, kind, value, _ in message(e.get("bytes", b"")):
        if number in TYPES:
            facts.append(TYPES[number])
        if number in TYPES or number <= 11 or number == 19:
            need(number not in found and kind == (0 if number == 5 else 2), "twice, or of another type")
            found[number] = value
    need(len(facts) == 1 and not found.get(6), "not one fact, or a report")
    tenant, kind, name = (found.get(n, b"").decode(errors="replace") for n in (2, 3, 4))
    need(f"lockbox.event.{tenant}.{kind}.{name}.{found.get(5, 0)}.{facts[0]}" == e["subject"], "not what its subject says")
    time = {number: value for number, _, value, _ in message(found.get(7, b""))}
    return kind, facts[0], found.get(5, 0), time.get(1, 0) + time.get(2, 0) / 1e9


# Writers

def read_certificates(texts, deployment):
    """Returns identity and times by the key's id, of certificates by the deployment's key."""
    name, public = deployment
    origin = name.removesuffix("/writers")
    keys = {}
    for text in texts:
        head, gap, line = text.partition("\n\n")
        lines = head.split("\n")
        need(gap and len(lines) == 6 and lines[:2] == ["lockbox-writer/v1", origin], "no certificate")
        need(line.startswith(f"— {name} ") and line.endswith("\n") and line.count("\n") == 1, "not signed once")
        signature = unbase64(line[:-1].rpartition(" ")[2], 68)
        need(signature[:4] == sha(name.encode(), b"\n\1", public)[:4], "another's key")
        need(signed_by(public, signature[4:], (head + "\n").encode()), "the certificate's signature")
        key = unbase64(lines[3], 32)
        number = sha(b"lockbox/v1 writer key\n", key)[:8]
        need(number not in keys, "a key twice")
        keys[number] = (lines[2], key, *(datetime.datetime.fromisoformat(at).timestamp() for at in lines[4:]))
    return origin, keys


def content(stored):
    """Splits stored bytes into what was signed and the block; None if there is none."""
    for number, _, value, begin in message(stored):
        if number == 19:
            size, length = b"", len(value)
            while length > 127:
                size, length = size + bytes([length & 127 | 128]), length >> 7
            need(stored[begin:] == b"\x9a\1" + size + bytes([length]) + value, "a block that is not at the end")
            return stored[:begin], value
    return stored, None


def text16(text):
    return len(text.encode()).to_bytes(2, "big") + text.encode()


def judge(e, before, origin, keys):
    """Returns who wrote an event."""
    kind, typ, version, at = shown_event(e)
    signed, block = content(e.get("bytes", b""))
    need(block is not None, "unsigned")
    need(len(block) >= 109 and (len(block) - 109) % 32 == 0 and block[0] == 1, "no block")
    previous, index, count = block[9:41], int.from_bytes(block[41:43], "big"), int.from_bytes(block[43:45], "big")
    path = [block[i:i + 32] for i in range(45, len(block) - 64, 32)]
    need(index < count <= 1024 and block[1:9] in keys, "unknown key")
    writer, key, begin, end = keys[block[1:9]]
    need(WRITERS.get((kind, typ)) == writer, "another writer")
    need(begin <= at < end, "not at that time")
    if version == 1:
        need(previous == ZERO, "something before the first")
    elif before is not None:
        need(previous == sha(content(before)[0]), "another one before it")
    entry = b"lockbox/v1 signed event\n" + text16(origin) + text16(e["subject"]) + previous + sha(signed)
    leaf, proof = leaf_hash(entry), list(path)

    def climb(index, count):
        if count == 1:
            return leaf
        half = 1 << (count - 1).bit_length() - 1
        need(proof, "the path")
        other = proof.pop()
        if index < half:
            return sha(b"\1", climb(index, half), other)
        return sha(b"\1", other, climb(index - half, count - half))

    root = climb(index, count)
    need(not proof, "the path")
    need(signed_by(key, block[-64:], b"lockbox/v1 commit\n" + count.to_bytes(2, "big") + root), "the signature")
    return writer


def bound(file, policy, deployment=None):
    """Returns what a receipt proves of events."""
    r = parse(file)
    about_whom(r)
    proved(r, policy)
    writers, before = [], None
    judged = deployment and read_certificates(r.get("writers", []), deployment)
    for e in r["events"]:
        if "withheld" in e:
            writers.append("[]")
            before = None
            continue
        shown_event(e)
        writers.append(f"[{judge(e, before, *judged)}]" if judged else "")
        before = e.get("bytes", b"")
    times = [at for at in r["times"] if 0 < at < 253402300800]
    time = datetime.datetime.fromtimestamp(min(times), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if times else "none"
    return conclude(r), f"{conclude(r)}; time {time}; writers {' '.join(writers) if judged else 'not judged'}"


def said(check, *arguments):
    try:
        return check(*arguments)
    except Refused as why:
        return f"refused: {why}"


def heads(file):
    with open(file, encoding="utf-8") as f:
        all_of = json.load(f)
    now = {}
    for e, root in zip(all_of["events"], all_of["roots"], strict=True):
        head = now.setdefault(e["about"], {"key": head_key(e["about"]), "version": 0, "count": 0, "running": ZERO})
        head["version"], head["count"] = max(head["version"], e["version"]), head["count"] + 1
        head["running"] = then(head["running"], base64.b64decode(e["leaf"]))
        assert trie(list(now.values())) == base64.b64decode(root), "another root"
    for v in all_of["proofs"]:
        raw = v["head"]
        head = {"key": base64.b64decode(raw["key"]), "version": raw["version"], "count": raw["count"],
                "running": base64.b64decode(raw["running"])}
        path = [{"bit": s["bit"], "sibling": base64.b64decode(s["sibling"])} for s in v["path"]]
        is_there = said(check_head, base64.b64decode(v["root"]), head, path, v["about"])
        print({True: "present", False: "absent"}.get(is_there, is_there))


def main():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "FORMATS.md"), encoding="utf-8") as f:
        read_facts(f.read())
    if sys.argv[1] == "--heads":
        heads(sys.argv[2])
        return
    with open(sys.argv[-1], encoding="utf-8") as f:
        if sys.argv[1] == "--sentences":
            for v in [v for s in json.load(f) for v in s["vectors"]]:
                deployment = vkey(v["writers"], 1) if "writers" in v else None
                answer = said(bound, v["receipt"].encode(), read_policy(v["policy"]), deployment)
                print(answer if isinstance(answer, str) else answer[1])
            return
        if sys.argv[1] == "--bound":
            with open(sys.argv[2], encoding="utf-8") as policy:
                policy = read_policy(policy.read())
            for v in json.load(f):
                answer = said(bound, v["receipt"].encode(), policy)
                print(answer if isinstance(answer, str) else answer[0])
            return
    with open(sys.argv[1], encoding="utf-8") as f:
        policy = read_policy(f.read())
    for name in sys.argv[2:]:
        with open(name, "rb") as f:
            print(said(verify, f.read(), policy))


if __name__ == "__main__":
    main()
