#!/usr/bin/env python3
"""Makes and reads leaves, second copies and directories of Lockbox's log. Written from FORMATS.md alone; shares nothing
with the program that makes them but what verifies receipts (receipt.py).

    log.py leaves FILE          says of each thing in FILE whether it is valid
    log.py directories FILE     the same
"""
import hmac
import json
import sys

from receipt import included, leaf_hash, need, open_note, read_policy, said, sha, u64, unbase64


def mac(secret, *parts):
    return hmac.digest(secret, b"".join(parts), "sha256")


def text(of):
    return len(of).to_bytes(2, "big") + of


# Leaves

def event_salt(secret, form, tenant, stream, stored):
    if form == 1:
        return mac(secret, b"lockbox/v1 event salt\n", u64(stream), tenant)
    return mac(secret, b"lockbox/v2 event salt\n", u64(stream), text(tenant), sha(stored))


def commit(form, salt, stored):
    return sha(f"lockbox/v{form} event\n".encode(), salt, stored)


def position_of(salt, stream):
    return sha(b"lockbox/v2 position\n", salt, u64(stream))


def leaf(secret, v):
    """Makes an entry and a record of an event."""
    form, tenant, stream, stored = v["format"], v["tenant"].encode(), v["streamSequence"], unbase64(v["bytes"])
    salt = event_salt(secret, form, tenant, stream, stored)
    own, subject = u64(v["tenantSequence"]), v["subject"].encode()
    length = len(stored).to_bytes(3, "big")
    if form == 1:
        return b"\1" + u64(stream) + own + commit(1, salt, stored) + subject, salt + b"\0" + length + stored
    hides = mac(secret, b"lockbox/v2 position salt\n", u64(stream), text(tenant))
    entry = b"\2" + own + position_of(hides, stream) + commit(2, salt, stored) + subject
    return entry, salt + b"\2" + length + u64(stream) + hides + stored


def number(data):
    return int.from_bytes(data, "big")


def read_entry(data):
    need(data[:1] in (b"\1", b"\2"), "of no known format")
    begin = 49 if data[0] == 1 else 73
    e = {"format": data[0], "commitment": data[begin - 32:begin], "subject": data[begin:]}
    need(1 <= len(e["subject"]) <= 4096, "no subject")
    if e["format"] == 1:
        e["stream"], e["own"] = number(data[1:9]), number(data[9:17])
        need(1 <= e["own"] <= e["stream"], "sequences of format 1")
    else:
        e["own"], e["position"] = number(data[1:9]), data[9:41]
        need(1 <= e["own"] <= 2**48, "the tenant sequence")
    return e


def read_bundle(data):
    records = []
    while data:
        need(len(data) >= 36, "it ends inside a record")
        r = {"salt": data[:32], "format": {0: 1, 2: 2}.get(data[32])}
        need(r["format"], "of no known kind")
        size, begin = number(data[33:36]), 36
        if r["format"] == 2:
            r["stream"], r["hides"], begin = number(data[36:44]), data[44:76], 76
            need(len(data) >= 76 and 1 <= r["stream"] < 2**53, "the stream sequence")
        need(len(data) >= begin + size, "it ends inside a record")
        r["stored"], data = data[begin:begin + size], data[begin + size:]
        records.append(r)
    need(1 <= len(records) <= 256, "not 1 to 256 records")
    return records


def compare(entry, leaf_is, own, record):
    need(leaf_hash(entry) == leaf_is, "the entry is not the leaf")
    e, (r,) = read_entry(entry), read_bundle(record)
    need(e["own"] == own and e["format"] == r["format"], "another place or format")
    if e["format"] == 2:
        need(position_of(r["hides"], r["stream"]) == e["position"] and r["stream"] >= own, "another stream sequence")
    need(commit(e["format"], r["salt"], r["stored"]) == e["commitment"], "other bytes")


def follows(v):
    need(v["format"] in (1, 2) and v["format"] >= v["lastFormat"], "the format")
    need(v["lastStreamSequence"] < v["streamSequence"] < 2**53, "the stream sequence")
    need(1 <= len(v["subject"].encode()) <= 4096, "no subject")


def leaves(of):
    secret = unbase64(of["secret"])
    for v in of["events"]:
        entry, record = leaf(secret, v)
        need(entry == unbase64(v["entry"]) and record == unbase64(v["record"]), "another entry or record")
        need(leaf_hash(entry) == unbase64(v["leaf"]), "another leaf")
    for v in of["entries"]:
        yield said(valid, read_entry, unbase64(v["data"]))
    for v in of["bundles"]:
        yield said(valid, read_bundle, unbase64(v["data"]))
    for v in of["copies"]:
        entry, leaf_is, record = (unbase64(v[name]) for name in ("entry", "leaf", "record"))
        yield said(valid, compare, entry, leaf_is, v["tenantSequence"], record)
    for v in of["appends"]:
        yield said(valid, follows, v)


def valid(check, *arguments):
    check(*arguments)
    return "valid"


# Directories

def tree_hash(hashes):
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return sha(b"\1", tree_hash(hashes[:split]), tree_hash(hashes[split:]))


def slot_entry(form, salt, slot, size, root, heads, tenant):
    return bytes([form]) + salt + u64(slot) + u64(size) + root + (heads if form == 2 else b"") + tenant


def is_name(tenant):
    return 1 <= len(tenant) <= 256


def directory(secret, v):
    form, tenants = v["format"], v["tenants"]
    names = [t["tenant"].encode() for t in tenants]
    need(form in (1, 2) and v["number"] >= 0 and names, "no directory")
    need(all(map(is_name, names)) and len(set(names)) == len(names), "names")
    need(all(t["size"] >= 1 for t in tenants), "a tenant without events")
    slots = len(names) if form == 1 else max(64, 1 << (len(names) - 1).bit_length())
    made = []
    for slot in range(slots):
        name = names[slot] if slot < len(names) else b""
        if form == 1:
            salt = mac(secret, b"lockbox/v1 slot salt\n", u64(v["number"]), name)
        else:
            salt = mac(secret, b"lockbox/v2 slot salt\n", u64(v["number"]), u64(slot), text(name))
        if not name:
            made.append(b"\2" + salt + u64(slot))
            continue
        t = tenants[slot]
        made.append(slot_entry(form, salt, slot, t["size"], unbase64(t["root"]), unbase64(t["heads"]), name))
    root = tree_hash([leaf_hash(e) for e in made])
    assert made == [unbase64(e) for e in v["entries"]] and root == unbase64(v["root"]), "another directory"
    assert bytes([form]) + u64(slots) + root == unbase64(v["entry"]) and slots == v["slots"], "another leaf"


def hashes(of):
    need(len(of) <= 64, "a proof is too long")
    return [unbase64(h, 32) for h in of]


def opening(o, tenant, size, root, last):
    """Returns the format of the directory."""
    form, tenant, slots = 2 if "heads" in o else 1, tenant.encode(), o["slots"]
    need(is_name(tenant) and 1 <= o["size"] <= 2**48, "no slot holds this")
    need(0 <= o["slot"] < slots and (form == 1 or slots >= 64 and slots & (slots - 1) == 0), "slots")
    heads, of = unbase64(o.get("heads", "")), unbase64(o["directory"])
    entry = slot_entry(form, unbase64(o["salt"]), o["slot"], o["size"], unbase64(o["root"]), heads, tenant)
    need(included(leaf_hash(entry), o["slot"], slots, hashes(o["proof"]), of), "the slot")
    entry = bytes([form]) + u64(slots) + of
    need(size > 0 and included(leaf_hash(entry), size - 1, size, hashes(last), root), "the last leaf")
    return form


def grows(older, newer, proof):
    """Checks a proof of consistency (RFC 6962 §2.1.2)."""
    (m, before), (n, after) = older, newer
    need(m <= n and (m < n or before == after), "cut off, or a fork")
    if m in (0, n):
        need(not proof, "nothing to prove")
        return
    proof = list(proof)

    def both(m, n, whole):
        if m == n:
            same = before if whole else take()
            return same, same
        split = 1 << (n - 1).bit_length() - 1
        if m <= split:
            right = take()
            old, new = both(m, split, whole)
            return old, sha(b"\1", new, right)
        left = take()
        old, new = both(m - split, n - split, False)
        return sha(b"\1", left, old), sha(b"\1", left, new)

    def take():
        need(proof, "a proof is too short")
        return proof.pop()

    need(both(m, n, True) == (before, after) and not proof, "it does not go on")


def follow(policy, before, following):
    size, root, _ = open_note(following["checkpoint"], policy)
    now = following["tenantCheckpoint"]
    form = opening(now, before["tenant"], size, root, following["directoryProof"])
    older, own = (0, b""), (0, b"")
    if before["checkpoint"]:
        was = before["tenantCheckpoint"]
        lines = before["checkpoint"].split("\n")
        older, own = (int(lines[1]), unbase64(lines[2])), (was["size"], unbase64(was["root"]))
        need(now["slot"] == was["slot"] and now["slots"] >= was["slots"], "the slot moved, or there are fewer")
        need(form >= (2 if "heads" in was else 1), "an earlier format")
    grows(older, (size, root), hashes(following["globalGrowth"] or []))
    grows(own, (now["size"], unbase64(now["root"])), hashes(following["tenantGrowth"] or []))


def directories(of):
    secret = unbase64(of["secret"])
    for v in of["directories"]:
        yield said(valid, directory, secret, v)
    for v in of["openings"]:
        yield said(valid, opening, v["opening"], v["tenant"], v["size"], unbase64(v["root"]), v["directoryProof"])
    policy = read_policy(of["policy"])
    for v in of["sightings"]:
        yield said(valid, follow, policy, v["before"], v["next"])


def main():
    with open(sys.argv[2], encoding="utf-8") as f:
        of = json.load(f)
    for answer in {"leaves": leaves, "directories": directories}[sys.argv[1]](of):
        print(answer)


if __name__ == "__main__":
    main()
