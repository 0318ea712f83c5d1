#!/usr/bin/env bash
# Makes wasm32-unknown-unknown available where rustup cannot download it: Debian's compiler and its sources, and a
# standard library built from them once (about a minute). Run by `cargo xtask wasm`; again, it takes no time.
set -euo pipefail

target=wasm32-unknown-unknown
library=/usr/lib/rustlib/$target/lib
packages=(rustc-web cargo-web rust-web-src rust-web-clippy clang-22 lld-22 llvm-22)

if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "${packages[@]}"
fi

built=$(/usr/bin/rustc -vV | sha256sum)
if [ "$(cat "$library/.built" 2>/dev/null)" != "$built" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  mkdir src
  : > src/lib.rs
  printf '[package]\nname = "stub"\nedition = "2024"\n[workspace]\n' > Cargo.toml
  # Bitcode, because the release build optimizes across crates. The sources carry their own dependencies.
  env -u RUSTUP_TOOLCHAIN RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes \
    CARGO_TARGET_DIR="$work/target" \
    /usr/bin/cargo build --release --offline --target $target -Zbuild-std=std,panic_abort,proc_macro,test \
    --config 'source.crates-io.replace-with="debian"' \
    --config 'source.debian.directory="/usr/lib/rustlib/src/rust/library/vendor"'
  rm -rf "$library"
  mkdir -p "$library"
  cp target/$target/release/deps/lib*.rlib "$library"
  rm -f "$library"/libstub-*
  echo "$built" > "$library/.built"
fi

[ "$(rustup run web rustc --print sysroot 2>/dev/null)" = /usr ] || rustup toolchain link web /usr
