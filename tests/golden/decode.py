"""Reads a DataSync store from docs/format.md alone, sharing nothing with the Rust code.

    decode.py FILE.bin    one structure of the golden files, as JSON
    decode.py STORE       a store's directory: its META, and version and SHA-256 of every block, as JSON
    decode.py --check     everything in the golden folders against the .json beside it
    decode.py --write     the .json files that are absent

A structure that breaks a rule of the document ends the program with a sentence. Needs the package `xxhash`.
"""

import hashlib
import json
import os
import re
import struct
import sys
import zlib

import xxhash

PAGE = 4096
META_COPY = 16384
PUT, TRIM, TRIM_RANGE = 1, 2, 3


class Broken(Exception):
    """A rule of the document does not hold."""


def require(holds, sentence):
    if not holds:
        raise Broken(sentence)


def digest(data):
    return xxhash.xxh3_64_intdigest(data)


def chain(so_far, following):
    return digest(struct.pack("<QQ", so_far, following))


def payload_sum(code, store, block, version, payload):
    whose = store + struct.pack("<QQ", block, version)
    if code == 1:
        return zlib.crc32(payload, zlib.crc32(whose))
    require(code == 2, f"checksum code {code}")
    return xxhash.xxh3_64_intdigest(payload, seed=digest(whose))


def sealed(page, magic):
    """Whether the page carries this magic and its own digest; a newer version is an error."""
    if page[:4] != magic or digest(page[:-8]) != struct.unpack("<Q", page[-8:])[0]:
        return False
    require(struct.unpack("<H", page[4:6])[0] == 1, "format version")
    return True


class Postcard:
    """Section 3: varints, one-byte bools, options, lists."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def number(self):
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def numbers(self, *names):
        return {name: self.number() for name in names}

    def many(self, read):
        return [read() for _ in range(self.number())]

    def segment(self):
        record = self.numbers("id", "epoch", "salt", "after")
        record["cut"] = self.numbers("end_page", "lsn", "chain") if self.byte() else None
        return record


def meta(copy):
    if not sealed(copy, b"DSM1"):
        return None
    zero, store, seq, epoch, length, zeros = struct.unpack("<H16sQQII", copy[6:48])
    require(zero == 0 and zeros == 0 and not any(copy[48 + length : -8]), "reserved bytes of META")
    body = Postcard(copy[48 : 48 + length])
    found = {"store": store.hex(), "seq": seq, "epoch": epoch, "checksum": body.byte()}
    found["created_ms"] = body.number()
    found["clean"] = bool(body.byte())
    found |= body.numbers("folded", "durable", "size", "base_blocks", "next_segment")
    found["segments"] = body.many(body.segment)
    found["epochs"] = body.many(lambda: body.numbers("epoch", "after", "last"))
    found["tags"] = body.many(lambda: body.numbers("client", "seq", "ordinal", "lsn"))
    found["free"] = body.many(lambda: body.numbers("block", "count"))
    found["free_unlisted"] = body.number()
    require(body.at == length, "length of the body of META")
    return found


def segment(page):
    require(sealed(page, b"DSS1"), "segment header")
    names = "has_previous checksum store segment salt epoch after previous end_page born_pages lsn chain".split()
    found = dict(zip(names, struct.unpack("<BB16sQQQQQIIQQ", page[6:88])))
    require(found["born_pages"] > 0 and not any(page[88:-8]), "reserved bytes of a segment header")
    return found | {"store": found["store"].hex(), "digest": digest(page[:-8])}


def group(page):
    if not sealed(page, b"DSG1"):
        return None
    names = (
        "flags checksum store segment salt epoch lsn page count payload durable size chain batch "
        "client seq ordinal zero wall_ms"
    ).split()
    found = dict(zip(names, struct.unpack("<BB16sQQQQIHHQQQQQQIIQ", page[6:128])))
    require(found.pop("zero") == 0 and found["flags"] in (0, 1, 2, 3, 4), "flags of a group")
    end = 128 + 32 * found.pop("count")
    require(end <= PAGE - 8 and not any(page[end:-8]), "descriptors of a group")
    found["changes"] = []
    for at in range(128, end, 32):
        block, second, total, delta, op, pad = struct.unpack("<QQQHB5s", page[at : at + 32])
        require(op in (PUT, TRIM, TRIM_RANGE) and not any(pad) and block < 2**36, "a descriptor")
        found["changes"].append({"op": op, "block": block, "second": second, "sum": total, "delta": delta})
    deltas = [change["delta"] for change in found["changes"] if change["op"] == PUT]
    require(deltas == list(range(1, found["payload"] + 1)), "payload pages of a group")
    return found | {"store": found["store"].hex(), "digest": digest(page[:-8])}


def sums(page):
    if not sealed(page, b"DSB1"):
        return None
    names = "checksum slot store page seq zeros".split()
    found = dict(zip(names, struct.unpack("<BB16sQQ16s", page[6:56])))
    require(not any(found.pop("zeros")), "reserved bytes of a page of base.sum")
    found["entries"] = {}
    for index in range(168):
        version, total, wall, state, zero = struct.unpack("<QQ6sBB", page[56 + 24 * index :][:24])
        require(state in (0, 1, 2) and zero == 0, "an entry of base.sum")
        if state:
            entry = {"version": version, "sum": total, "ms": int.from_bytes(wall, "little"), "state": state}
            found["entries"][index] = entry
    return found | {"store": found["store"].hex()}


class Store:
    """Section 7."""

    def __init__(self, folder):
        self.folder = folder
        data = self.file("META")
        copies = [meta(data[at : at + META_COPY]) for at in range(0, 4 * META_COPY, META_COPY)]
        require(any(copies), "no valid META")
        self.meta = max(filter(None, copies), key=lambda found: found["seq"])
        self.store = bytes.fromhex(self.meta["store"])
        self.size = self.meta["size"]
        self.blocks = {}  # block number: (version, bytes)
        self.base()
        self.log()

    def file(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def keep(self, code, block, version, total, data):
        right = payload_sum(code, self.store, block, version, data) == total
        require(right, f"block {block} at version {version}: payload sum")
        self.blocks[block] = (version, data)

    def base(self):
        pages = -(-self.meta["base_blocks"] // 168)
        data, blocks = (self.file("base.sum"), self.file("base.db")) if pages else (b"", b"")
        for page in range(pages):
            slots = [sums(data[(2 * page + slot) * PAGE :][:PAGE]) for slot in (0, 1)]
            require(any(slots), f"page {page} of base.sum has no valid slot")
            newest = max(filter(None, slots), key=lambda found: found["seq"])
            require(newest["page"] == page and newest["store"] == self.meta["store"], "page of base.sum")
            for index, entry in newest["entries"].items():
                block = 168 * page + index
                if entry["state"] == 1:
                    payload = blocks[block * PAGE :][:PAGE]
                    self.keep(newest["checksum"], block, entry["version"], entry["sum"], payload)

    def log(self):
        batch = None  # The groups of the batch under way, with their payloads.
        for record in self.meta["segments"]:
            data = self.file(f"log-{record['id']:04}")
            header = segment(data[:PAGE])
            for name, wanted in (("segment", record["id"]), ("epoch", record["epoch"]), ("salt", record["salt"])):
                require(header[name] == wanted, f"{name} of segment {record['id']}")
            end = record["cut"]["end_page"] if record["cut"] else len(data) // PAGE
            page, link = 1, header["digest"]
            while page < end:
                found = group(data[page * PAGE :][:PAGE])
                follows = found and (found["page"], found["chain"], found["salt"]) == (page, link, header["salt"])
                if not follows:
                    require(record["cut"] is None, f"segment {record['id']} ends before its cut")
                    break
                payloads = [data[(page + 1 + at) * PAGE :][:PAGE] for at in range(found["payload"])]
                batch = self.take(found, payloads, batch)
                page, link = page + 1 + found["payload"], found["digest"]

    def take(self, found, payloads, batch):
        if found["flags"] == 4:
            return batch
        if found["flags"] & 1:
            batch = []
        require(batch is not None, "a batch without its first group")
        batch.append((found, payloads))
        if not found["flags"] & 2:
            return batch
        running = 0
        for earlier, _ in batch[:-1]:
            running = chain(running, earlier["digest"])
        require(running == found["batch"], "batch digest")
        if found["lsn"] > self.meta["folded"]:
            for part, pages in batch:
                self.apply(part, iter(pages))
            self.size = found["size"]
        return None

    def apply(self, part, pages):
        for change in part["changes"]:
            if change["op"] == PUT:
                self.keep(part["checksum"], change["block"], part["lsn"], change["sum"], next(pages))
            else:
                last = change["block"] + 1 if change["op"] == TRIM else change["second"]
                for block in [known for known in self.blocks if change["block"] <= known < last]:
                    del self.blocks[block]

    def describe(self):
        blocks = {
            block: {"version": version, "sha256": hashlib.sha256(data).hexdigest()}
            for block, (version, data) in sorted(self.blocks.items())
        }
        return {"meta": self.meta, "size": self.size, "blocks": blocks}


def describe(path):
    if os.path.isdir(path):
        return Store(path).describe()
    with open(path, "rb") as file:
        data = file.read()
    readers = {b"DSM1": meta, b"DSS1": segment, b"DSG1": group, b"DSB1": sums}
    require(data[:4] in readers, "magic")
    found = readers[data[:4]](data)
    require(found is not None, "digest")
    return found


def as_json(path):
    try:
        return json.dumps(describe(path), indent=1, sort_keys=True, default=lambda raw: raw.hex()) + "\n"
    except (Broken, OSError) as error:
        sys.exit(f"{path}: {error}")


def golden():
    """Every golden structure and store, as a path without its ending and the path to read."""
    top = os.path.dirname(os.path.abspath(__file__))
    for version in sorted(name for name in os.listdir(top) if re.fullmatch(r"v\d+", name)):
        for name in sorted(os.listdir(os.path.join(top, version))):
            path = os.path.join(top, version, name)
            if not name.endswith(".json"):
                yield path.removesuffix(".bin"), path


def check():
    count = 0
    for count, (stem, path) in enumerate(golden(), start=1):
        with open(stem + ".json") as file:
            if file.read() != as_json(path):
                sys.exit(f"{path}: reads differently from {stem}.json")
    print(f"{count} golden files read from docs/format.md alone, as expected")


def write():
    for stem, path in golden():
        if not os.path.exists(stem + ".json"):
            with open(stem + ".json", "w") as file:
                file.write(as_json(path))


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    elif sys.argv[1:] == ["--write"]:
        write()
    else:
        print(as_json(sys.argv[1]), end="")
