#!/bin/sh
# Offers the cameras of a Raspberry Pi as a service. From this folder of a checkout, as root:
#     ./install.sh https://marketplace.example
# Done again it brings the program up to date and leaves settings, wallet and keys as they are.
set -eu

URL=${1:?the marketplace, such as https://marketplace.example}
ROOT=${ROOT:-} # another root than /, for an image
HERE=$(cd "$(dirname "$0")" && pwd)
ETC=$ROOT/etc/luxxon
STATE=$ROOT/var/lib/private/luxxon
BIN=$ROOT/opt/luxxon/bin
umask 022

[ -x "$BIN/python" ] || python3 -m venv "$ROOT/opt/luxxon"
"$BIN/pip" install --quiet --upgrade 'luxxon[rtsp-ptz]'

# The service's own user reads the settings; secrets are read by systemd, as root.
install -d -m 755 "$ETC"
[ -f "$ETC/luxxon.toml" ] || install -m 644 "$HERE/luxxon.toml" "$ETC/luxxon.toml"
if [ ! -f "$ETC/operate.env" ]; then
    install -m 600 /dev/null "$ETC/operate.env"
    printf 'LUXXON_URL=%s\n' "$URL" >"$ETC/operate.env"
fi

# A wallet of this machine. Its passphrase is kept encrypted by this machine's key, and in clear in memory alone.
words=$(mktemp -p /dev/shm)
trap 'rm -f "$words"' EXIT
if [ -f "$ETC/wallet.json" ]; then
    systemd-creds decrypt --name=wallet-passphrase "$ETC/wallet-passphrase.cred" - >"$words"
else
    head -c 32 /dev/urandom | base64 >"$words"
    systemd-creds encrypt --name=wallet-passphrase "$words" "$ETC/wallet-passphrase.cred"
    LUXXON_WALLET_PASSPHRASE_FILE=$words "$BIN/luxxon" wallet new --file "$ETC/wallet.json"
fi

# A workspace and a key for each camera of luxxon.toml.
install -d -m 700 "$STATE"
cd "$ETC"
LUXXON_WALLET=$ETC/wallet.json LUXXON_WALLET_PASSPHRASE_FILE=$words \
    "$BIN/luxxon" operate --setup --url "$URL" --data-dir "$STATE"

install -D -m 644 "$HERE/../../deploy/luxxon-operate.service" "$ROOT/etc/systemd/system/luxxon-operate.service"
install -D -m 755 "$HERE/health.py" "$BIN/luxxon-health"
systemctl daemon-reload
systemctl enable luxxon-operate
systemctl restart luxxon-operate
