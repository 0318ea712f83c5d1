"""XXH3-64 in plain Python, for the lengths that docs/format.md needs: 9 to 16 bytes, 17 to 32, and more than 240.

Written from the published specification of xxHash. Numbers are little-endian and wrap at 64 bits. Slow, so what was
asked before is remembered.
"""

import functools
import struct

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
LOW = 2**32 - 1
WRAP = 2**64 - 1
P32 = (None, 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
P64 = (None, 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
START = (P32[3], P64[1], P64[2], P64[3], P64[4], P32[2], P64[5], P32[1])
STRIPE = 64
LANES = range(8)
STRIPES_IN_BLOCK = (192 - STRIPE) // 8


def word(data, at):
    return int.from_bytes(data[at : at + 8], "little")


def fold(one, other):
    """The two halves of the 128-bit product, mixed."""
    product = one * other
    return (product ^ product >> 64) & WRAP


def avalanche(number):
    number = (number ^ number >> 37) * 0x165667919E3779F9 & WRAP
    return number ^ number >> 32


@functools.lru_cache(1 << 16)
def xxh3_64(data, seed=0):
    if 9 <= len(data) <= 16:
        return of_16(data, seed)
    if 17 <= len(data) <= 32:
        return of_32(data, seed)
    assert len(data) > 240, "a length that the format does not need"
    return of_long(data, with_seed(seed))


def of_16(data, seed):
    low = word(data, 0) ^ (word(SECRET, 24) ^ word(SECRET, 32)) + seed & WRAP
    high = word(data, len(data) - 8) ^ (word(SECRET, 40) ^ word(SECRET, 48)) - seed & WRAP
    swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
    return avalanche(len(data) + swapped + high + fold(low, high) & WRAP)


def of_32(data, seed):
    total = len(data) * P64[1]
    for at, secret in ((0, 0), (len(data) - 16, 16)):
        low = word(data, at) ^ word(SECRET, secret) + seed & WRAP
        high = word(data, at + 8) ^ word(SECRET, secret + 8) - seed & WRAP
        total += fold(low, high)
    return avalanche(total & WRAP)


@functools.lru_cache(1 << 12)
def with_seed(seed):
    """The secret of a seed."""
    out = bytearray()
    for at in range(0, len(SECRET), 16):
        low, high = word(SECRET, at) + seed, word(SECRET, at + 8) - seed
        out += struct.pack("<QQ", low & WRAP, high & WRAP)
    return bytes(out)


def of_long(data, secret):
    words = struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8])
    keys = struct.unpack("<24Q", secret)
    lanes = list(START)
    stripes = (len(data) - 1) // STRIPE
    for first in range(0, stripes, STRIPES_IN_BLOCK):
        count = min(STRIPES_IN_BLOCK, stripes - first)
        accumulate(lanes, words[8 * first : 8 * (first + count)], keys)
        if count == STRIPES_IN_BLOCK and (first + count) * STRIPE < len(data):
            scramble(lanes, keys[16:])
    last = struct.unpack("<8Q", data[-STRIPE:])
    accumulate(lanes, last, struct.unpack("<8Q", secret[121:185]))
    total = len(data) * P64[1]
    for pair in range(4):
        at = 11 + 16 * pair
        total += fold(lanes[2 * pair] ^ word(secret, at), lanes[2 * pair + 1] ^ word(secret, at + 8))
    return avalanche(total & WRAP)


def accumulate(lanes, words, keys):
    """Stripe n meets the keys from n on; a lane takes the product of its own word and its neighbour's word."""
    for lane in LANES:
        own = words[lane::8]
        mixed = [value ^ key for value, key in zip(own, keys[lane:])]
        products = sum([(value & LOW) * (value >> 32) for value in mixed])
        lanes[lane] = lanes[lane] + products + sum(words[lane ^ 1 :: 8]) & WRAP


def scramble(lanes, keys):
    for lane in LANES:
        value = lanes[lane]
        lanes[lane] = (value ^ value >> 47 ^ keys[lane]) * P32[1] & WRAP
