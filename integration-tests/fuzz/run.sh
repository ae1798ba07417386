#!/usr/bin/env bash
# Fuzzes each target in turn: run.sh [seconds a target, default 120] [target …]. Stops at the first finding.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-120}
shift || true
[ $# -gt 0 ] || set -- amf0 detect flv http3 lanes rtmp_chunks rtwebsocket tc viewer
for target; do
  mkdir -p "corpus/$target"
  cargo +nightly fuzz run --fuzz-dir . "$target" "corpus/$target" "seeds/$target" -- \
    -max_total_time="$seconds" -rss_limit_mb=2048 -max_len=16384 -timeout=10 -print_final_stats=1
done
