#!/usr/bin/env bash
# The Debian package: installed on a Debian of its own that was just booted, in a container without a network, where systemd starts it
# as anywhere else. Wants root, mmdebstrap, systemd-container and cargo-deb.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
system=$work/system

# The container's half of it, after which the container ends.
cat >"$work/check" <<'CHECK'
#!/usr/bin/env bash
set -Eeuo pipefail
trap 'echo "failed: $BASH_COMMAND"; journalctl --unit headwater --no-pager --lines 30' ERR

answers() { # answers port path "words"
  { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null &&
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3 && grep -q "$3" <&3
}
within() { # within seconds command …
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ]
    sleep 0.1
  done
}
show() { systemctl show --property "$1" --value headwater; }
is_another() { pid_now=$(show MainPID) && test "$pid_now" != 0 -a "$pid_now" != "$pid"; }

dpkg --install /headwater.deb
within 20 answers 9446 /api/v1/ready "200 OK"
answers 4446 / "</html>"
systemctl is-enabled headwater
pid=$(show MainPID)
echo "it runs as $(stat --format %U "/proc/$pid")"
test "$(stat --format %U "/proc/$pid")" != root
test -s /var/lib/headwater/certs/dev-certificate.pem
systemctl reload headwater
answers 9446 /api/v1/ready "200 OK"
systemctl kill --signal KILL headwater
within 5 is_another
within 5 answers 9446 /api/v1/ready "200 OK"
systemd-analyze security headwater | tail -n 1
systemctl stop headwater
test "$(show Result) $(show ExecMainStatus)" = "success 0"
dpkg --purge headwater
test ! -e /etc/headwater
touch /passed
CHECK

cargo build --locked
cargo deb --locked --no-build --fast --profile dev --output "$work/headwater.deb"
mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$system"
install -m 755 "$work/check" "$system/check"
cp "$work/headwater.deb" "$system/"
cat >"$system/etc/systemd/system/check.service" <<'UNIT'
[Unit]
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/check
StandardOutput=file:/said
StandardError=inherit
TimeoutStartSec=60
[Install]
WantedBy=default.target
UNIT
systemctl --root="$system" --quiet enable check.service
# Who has no systemd to be registered with boots it all the same.
timeout 90 systemd-nspawn --quiet --register=no --keep-unit --private-network --directory="$system" --boot >"$work/boot" 2>&1 || true
cat "$system/said" || cat "$work/boot"
test -e "$system/passed"
echo "installed, started, reloaded, killed, stopped and removed"
