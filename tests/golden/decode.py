"""Reads a DataSync store from docs/format.md alone, sharing nothing with the Rust code.

    decode.py FILE.bin    one structure of the golden files, as JSON
    decode.py STORE       a store's directory: its META, and version and SHA-256 of every block, as JSON
    decode.py --check     everything in the golden folders against the .json beside it
    decode.py --write     the .json files that are absent
    decode.py --images D  every simulated image in folder D against D/expected.jsonl; then the same with mistakes
                          planted in this decoder, each of which must show

A structure that breaks a rule of the document ends the program with a sentence. Needs nothing but Python.
"""

import functools
import hashlib
import json
import os
import re
import struct
import sys
import zlib

from xxh3 import xxh3_64

PAGE = 4096
META_COPY = 16384
PUT, TRIM, TRIM_RANGE = 1, 2, 3


class Broken(Exception):
    """A rule of the document does not hold."""


class Damaged(Broken):
    """Bytes that had been durable are not what was written."""


class Nothing(Exception):
    """There is no store yet."""


def require(holds, sentence):
    if not holds:
        raise Broken(sentence)


def digest(data):
    return xxh3_64(data)


def chain(so_far, following):
    return digest(struct.pack("<QQ", so_far, following))


def payload_sum(code, store, block, version, payload):
    whose = store + struct.pack("<QQ", block, version)
    if code == 1:
        return zlib.crc32(payload, zlib.crc32(whose))
    require(code == 2, f"checksum code {code}")
    return xxh3_64(payload, digest(whose))


def sealed(page, magic):
    """Whether the page carries this magic and its own digest; a newer version is an error."""
    if page[:4] != magic or digest(page[:-8]) != struct.unpack("<Q", page[-8:])[0]:
        return False
    require(struct.unpack("<H", page[4:6])[0] == 1, "format version")
    return True


# Images have most of their pages in common.
remembered = functools.lru_cache(1 << 14)


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


@remembered
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


@remembered
def segment(page):
    require(sealed(page, b"DSS1"), "segment header")
    names = "has_previous checksum store segment salt epoch after previous end_page born_pages lsn chain".split()
    found = dict(zip(names, struct.unpack("<BB16sQQQQQIIQQ", page[6:88])))
    require(found["born_pages"] > 0 and not any(page[88:-8]), "reserved bytes of a segment header")
    return found | {"store": found["store"].hex(), "digest": digest(page[:-8])}


@remembered
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


@remembered
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


def sound(reader, page):
    """What the page is, or None if it is not what the reader reads."""
    try:
        return reader(page)
    except Broken:
        return None


class Store:
    """Section 7, a method for each rule."""

    def __init__(self, folder):
        self.folder = folder
        self.meta = self.choose()
        self.size = self.meta["size"]
        self.log = {}  # block number: (version, bytes), or None where it is trimmed
        self.ranges = []  # of blocks trimmed in the log
        self.walk()
        self.beside_the_log()
        self.blocks = {block: found for block, found in self.base() if not self.hidden(block)}
        self.blocks |= {block: found for block, found in self.log.items() if found}

    def file(self, name):
        """Its bytes; none if it is not there."""
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def segments_there(self):
        names = (re.fullmatch(r"log-(\d{4,})", name) for name in os.listdir(self.folder))
        return sorted(int(name[1]) for name in names if name)

    def choose(self):
        data = self.file("META")
        copies = [sound(meta, data[at : at + META_COPY]) for at in range(0, 4 * META_COPY, META_COPY)]
        if any(copies):
            return self.newest([copy for copy in copies if copy])
        beside = self.segments_there() or self.file("base.db") or self.file("base.sum")
        raise Damaged("no valid META beside data") if beside else Nothing()

    def newest(self, copies):
        return max(copies, key=lambda found: found["seq"])

    def walk(self):
        segments = self.meta["segments"]
        self.last = self.meta["folded"]
        self.begun = max([self.last] + [record["after"] for record in segments[:1]])
        self.batch, self.torn, self.beheaded = [], 0, True
        for index, record in enumerate(segments):
            flaw = self.segment(index, record)
            if flaw is not None:
                if flaw == 0 or record["cut"] or segments[index + 1 :] or self.proven_behind(record, flaw):
                    raise Damaged(f"log-{record['id']:04}: page {flaw}")
                self.torn = self.tail(record, flaw)
        if self.known_durable() > self.last:
            raise Damaged(f"the log ends at commit {self.last}, before one that was durable")

    def known_durable(self):
        return self.meta["durable"]

    def segment(self, index, record):
        """Walks one segment; the page of the first thing that does not hold, or None."""
        data = self.file(f"log-{record['id']:04}")
        header = sound(segment, data[:PAGE])
        if not header or not self.in_place(header, index, record):
            return 0
        cut, length = record["cut"], -(-len(data) // PAGE)
        end = cut["end_page"] if cut else length
        page, link = 1, header["digest"]
        while page < end:
            found = sound(group, self.page(data, page))
            if not found or not self.of_life(found, record) or (found["page"], found["chain"]) != (page, link):
                return page
            behind = page + 1 + found["payload"]
            payloads = [self.page(data, at) for at in range(page + 1, behind)]
            if behind > end or not self.take(found, payloads):
                return page
            page, link = behind, found["digest"]
        if cut and (page, link, self.begun) != (cut["end_page"], cut["chain"], cut["lsn"]):
            return page
        return None

    def page(self, data, number):
        return data[number * PAGE :][:PAGE].ljust(PAGE, b"\0")

    def of_life(self, found, record):
        named = (found["store"], found["checksum"], found["segment"], found["epoch"], found["salt"])
        meta = self.meta
        return named == (meta["store"], meta["checksum"], record["id"], record["epoch"], record["salt"])

    def in_place(self, header, index, record):
        if not self.of_life(header, record) or not header["after"] == record["after"] == self.begun:
            return False
        if index == 0:
            return True
        before = self.meta["segments"][index - 1]
        cut = {name: header[name] for name in ("end_page", "lsn", "chain")}
        return header["has_previous"] == 1 and header["previous"] == before["id"] and cut == before["cut"]

    def proven_behind(self, record, flaw):
        """Whether a later page of the same life says that more was durable than has been found."""
        data = self.file(f"log-{record['id']:04}")
        for page in range(flaw + 1, -(-len(data) // PAGE)):
            found = sound(group, self.page(data, page))
            if found and self.of_life(found, record) and found["page"] == page and found["durable"] > self.last:
                return True
        return False

    def tail(self, record, flaw):
        used = len(self.file(f"log-{record['id']:04}").rstrip(b"\0"))
        return max(0, -(-used // PAGE) - flaw) * PAGE

    def take(self, found, payloads):
        """Takes the next group; whether it can be the next."""
        if found["flags"] == 4:
            return found["lsn"] == self.begun and found["durable"] <= self.last
        if found["flags"] & 1:
            if found["lsn"] <= self.begun:
                return False
            self.batch, self.begun, self.beheaded = [], found["lsn"], False
        elif self.beheaded and found["lsn"] == self.begun and not self.ends(found):
            return True
        elif not self.batch or self.batch[0][0]["lsn"] != found["lsn"]:
            return False
        self.batch.append((found, payloads))
        if not self.ends(found):
            return True
        running = 0
        for earlier, _ in self.batch[:-1]:
            running = chain(running, earlier["digest"])
        if running != found["batch"] or not all(self.verifies(*part) for part in self.batch):
            return False
        for part, pages in self.batch:
            self.apply(part, iter(pages))
        self.batch, self.last, self.size = [], found["lsn"], found["size"]
        return True

    def ends(self, found):
        return found["flags"] & 2

    def verifies(self, part, pages):
        puts = [change for change in part["changes"] if change["op"] == PUT]
        return all(
            self.holds(part["checksum"], put["block"], part["lsn"], put["sum"], page)
            for put, page in zip(puts, pages)
        )

    def holds(self, code, block, version, total, data):
        return payload_sum(code, bytes.fromhex(self.meta["store"]), block, version, data) == total

    def apply(self, part, pages):
        for change in part["changes"]:
            if change["op"] == PUT:
                self.log[change["block"]] = (part["lsn"], next(pages))
            elif change["op"] == TRIM:
                self.trim(change["block"], change["block"] + 1)
            else:
                self.trim(change["block"], change["second"])

    def trim(self, first, end):
        self.ranges.append((first, end))
        for block in [known for known in self.log if first <= known < end]:
            del self.log[block]

    def hidden(self, block):
        return block in self.log or any(first <= block < end for first, end in self.ranges)

    def beside_the_log(self):
        """What the other files must be, whatever is in the log."""
        pages, there = -(-self.meta["base_blocks"] // 168), os.listdir(self.folder)
        if pages and not {"base.db", "base.sum"} <= set(there):
            raise Damaged("the base is missing")
        if "base.sum" in there and len(self.file("base.sum")) < 2 * pages * PAGE:
            raise Damaged("base.sum is too short")
        if self.meta["clean"]:
            first = next(iter(self.base()), (1, True))
            if len(self.file("base.db")) != self.meta["size"] or first == (0, None):
                raise Damaged("base.db was changed after a clean close")
        if self.is_meta_lost():
            raise Damaged("a segment is of a newer META than is left")

    def is_meta_lost(self):
        for number in set(self.segments_there()) - {record["id"] for record in self.meta["segments"]}:
            data = self.file(f"log-{number:04}")
            header = sound(segment, self.page(data, 0))
            if not header or (header["store"], header["segment"]) != (self.meta["store"], number):
                continue
            first = sound(group, self.page(data, header["born_pages"]))
            same = ("store", "checksum", "segment", "epoch", "salt")
            used = first and first["page"] == header["born_pages"] and all(first[k] == header[k] for k in same)
            if header["epoch"] > self.meta["epoch"] or (number >= self.meta["next_segment"] and used):
                return True
        return False

    def base(self):
        """Each block of the base with its version and bytes, or None where they are damaged."""
        data, blocks = self.file("base.sum"), self.file("base.db")
        for page in range(-(-self.meta["base_blocks"] // 168)):
            numbers = range(168 * page, min(168 * page + 168, self.meta["base_blocks"]))
            slots = [sound(sums, self.page(data, 2 * page + slot)) for slot in (0, 1)]
            wanted = [(self.meta["store"], page, slot) for slot in (0, 1)]
            valid = [s for s, w in zip(slots, wanted) if s and (s["store"], s["page"], s["slot"]) == w]
            newest = max(valid, key=lambda found: found["seq"], default=None)
            for block in numbers:
                if newest is None or newest["checksum"] != self.meta["checksum"]:
                    yield block, None
                    continue
                entry = newest["entries"].get(block - 168 * page)
                if entry and entry["state"] == 1:
                    payload = self.page(blocks, block)
                    right = self.holds(newest["checksum"], block, entry["version"], entry["sum"], payload)
                    right = right and self.is_folded(entry["version"])
                    yield block, (entry["version"], payload) if right else None

    def is_folded(self, version):
        return version <= self.meta["folded"]

    def describe(self):
        for block, found in self.blocks.items():
            require(found, f"block {block} is damaged")
        blocks = {
            block: {"version": version, "sha256": hashlib.sha256(data).hexdigest()}
            for block, (version, data) in sorted(self.blocks.items())
        }
        return {"meta": self.meta, "size": self.size, "blocks": blocks}


MISTAKES = {
    "the oldest META counts": {"newest": lambda self, copies: min(copies, key=lambda found: found["seq"])},
    "nothing behind a flaw proves anything": {"proven_behind": lambda self, record, flaw: False},
    "META proves nothing": {"known_durable": lambda self: 0},
    "every flaw is damage": {"proven_behind": lambda self, record, flaw: True},
    "every group ends its batch": {"ends": lambda self, found: True},
    "payloads need not verify": {"holds": lambda self, *_: True},
    "trims are forgotten": {"trim": lambda self, first, end: None},
    "a base ahead of the log is served": {"is_folded": lambda self, version: True},
    "a META is never missed": {"is_meta_lost": lambda self: False},
    "a segment may follow any other": {"in_place": lambda self, header, index, record: True},
}


def seen(folder, reader=Store):
    """What a reader sees of an image, in the words of expected.jsonl."""
    try:
        store = reader(folder)
    except Nothing:
        return {"verdict": "nothing"}
    except Damaged:
        return {"verdict": "corrupt"}
    blocks = {
        str(block): [found[0], f"{digest(found[1]):016x}"] if found else "damaged"
        for block, found in sorted(store.blocks.items())
    }
    return {"verdict": "readable", "size": store.size, "last": store.last, "torn": store.torn, "blocks": blocks}


def images(folder):
    with open(os.path.join(folder, "expected.jsonl")) as file:
        expected = [json.loads(line) for line in file]
    for line in expected:
        found = seen(os.path.join(folder, line["image"]))
        if found != line["seen"]:
            sys.exit(f"{line['image']} ({line['kind']}): reads as {found}, recovery says {line['seen']}")
    verdicts = [line["seen"]["verdict"] for line in expected]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts)))
    torn = sum(line["seen"].get("torn", 0) > 0 for line in expected)
    print(f"{len(expected)} simulated images read from docs/format.md alone, as recovery reads them: {counts}; "
          f"{torn} with a torn tail")
    hidden = []
    for mistake, methods in MISTAKES.items():
        wrong = type("Wrong", (Store,), methods)
        differs = (line for line in expected if differently(os.path.join(folder, line["image"]), wrong, line))
        first = next(differs, None)
        if not first:
            hidden.append(mistake)
            continue
        print(f"    mistake shown by image {first['image']}: {mistake}")
    if hidden:
        sys.exit(f"no image shows these mistakes: {hidden}")


def differently(folder, reader, line):
    try:
        return seen(folder, reader) != line["seen"]
    except (Broken, LookupError):
        return True


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
    except (Broken, Nothing, OSError) as error:
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
    elif sys.argv[1:2] == ["--images"]:
        images(sys.argv[2])
    else:
        print(as_json(sys.argv[1]), end="")
