#!/usr/bin/env bash
# Builds the image from the Dockerfile and uses it, with buildah: no daemon, nothing pulled. A stand-in for the Rust builder image lends this machine's own
# tool chain to the Dockerfile's steps. Everything goes below target/image.
#
#   tests/image/image.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
home=$root/target/image
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
buildah() { command buildah --root "$home/storage" --runroot "$home/run" "$@"; }
fail() { echo "failed: $*" >&2; exit 1; }
mkdir -p "$home/cargo-target" "$home/tools"

stand_in() {
    local container mount name
    container=$(buildah from scratch)
    mount=$(buildah mount "$container")
    mkdir -p "$mount"/{etc,usr,tmp,src,tools,image} "$mount$HOME/.cargo" "$mount$HOME/.rustup"
    for name in bin lib lib64 sbin; do [ ! -L "/$name" ] || ln -s "usr/$name" "$mount/$name"; done
    for name in alternatives ssl ld.so.cache ld.so.conf ld.so.conf.d passwd group; do cp -a "/etc/$name" "$mount/etc/"; done
    # A machine may reach its registries by a certificate authority of its own.
    if [ -n "${SSL_CERT_FILE:-}" ] && [ -f "$SSL_CERT_FILE" ]; then
        cp "$SSL_CERT_FILE" "$mount/etc/ssl/registries.crt"
        buildah config --env SSL_CERT_FILE=/etc/ssl/registries.crt --env CARGO_HTTP_CAINFO=/etc/ssl/registries.crt "$container"
    fi
    buildah config --env "PATH=$HOME/.cargo/bin:/usr/local/bin:/usr/bin:/bin" --env "HOME=$HOME" "$container"
    buildah umount "$container" >/dev/null
    buildah commit --quiet "$container" localhost/builder >/dev/null
    buildah rm "$container" >/dev/null
}

buildah inspect --type image localhost/builder >/dev/null 2>&1 || stand_in
cargo_home=${CARGO_HOME:-$HOME/.cargo} rustup_home=${RUSTUP_HOME:-$HOME/.rustup}
# The volume stands in for the cache of /src/target, so that a second run builds only what has changed.
buildah build --quiet --pull-never --timestamp 0 --build-arg BUILDER=localhost/builder --tag localhost/crossmarket \
    --volume /usr:/usr:ro --volume "$cargo_home:$HOME/.cargo" --volume "$rustup_home:$HOME/.rustup:ro" --volume "$home/tools:/tools" \
    "${CROSSMARKET_IMAGE_CONTEXT:-.}" >"$home/build.log" 2>&1 || { tail -n 40 "$home/build.log"; fail "the image was not built"; }

container=$(buildah from --pull-never localhost/crossmarket)
trap 'buildah rm "$container" >/dev/null' EXIT
files=$(buildah mount "$container")
config=$(buildah inspect --type image --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{len .OCIv1.RootFS.DiffIDs}}' localhost/crossmarket)
[ "$config" = "65532:65532 [/crossmarket] 1" ] || fail "user, entry point and layers are: $config"
bytes=$(du --summarize --bytes "$files" | cut -f 1)
[ "$bytes" -le $((25 << 20)) ] || fail "the image has $bytes bytes, more than 25 MiB"
found=$(cd "$files" && find . -type f -printf '%m %P\n' | grep -v -E ' (etc/(hosts|hostname|resolv.conf)|run/.*|proc/.*|sys/.*|dev/.*)$' | sort -k 2)
[ "$found" = "$(printf '755 crossmarket\n644 etc/ssl/certs/ca-certificates.crt')" ] || fail "the image holds: $found"
file -b "$files/crossmarket" | grep -q 'static' || fail "the binary is not static"
! grep -q -a -F "$cargo_home/registry" "$files/crossmarket" || fail "paths of the build are in the binary"
objcopy --dump-section ".dep-v0=$home/sbom.z" "$files/crossmarket" /dev/null
python3 - "$home/sbom.z" <<'PYTHON' || fail "the binary does not list its dependencies"
import json, sys, zlib
packages = json.loads(zlib.decompress(open(sys.argv[1], "rb").read()))["packages"]
names = {package["name"] for package in packages}
assert {"crossmarket", "tokio", "rustls"} <= names, names
print(f"bill of materials: {len(packages)} packages in the binary")
PYTHON

in_image() { buildah run --user 65532:65532 "$container" -- "$@"; }
in_image /crossmarket --version
# No shell to break into.
! in_image /bin/sh -c true 2>/dev/null || fail "there is a shell"
# In a process group of its own, so that it can be ended with everything that stands between.
setsid buildah --root "$home/storage" --runroot "$home/run" run --user 65532:65532 "$container" -- \
    /crossmarket demo --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 >"$home/demo.log" 2>&1 &
demo=$!
address=""
for _ in $(seq 100); do
    address=$(sed -n 's/^listening grpc=\([^ ]*\) .*/\1/p' "$home/demo.log")
    [ -z "$address" ] || break
    sleep 0.2
done
[ -n "$address" ] || { cat "$home/demo.log"; fail "the demo did not start in the image"; }
# Collectors ask for the system's certificates before anything else, so that it listens says that they were found.
answered=""
for _ in $(seq 100); do
    if in_image /crossmarket get BTC --server "http://$address" >"$home/get.log" 2>&1; then answered=yes; break; fi
    sleep 0.2
done
kill -TERM -- "-$demo" 2>/dev/null || true
wait "$demo" 2>/dev/null || true
[ -n "$answered" ] || { cat "$home/get.log"; fail "the service in the image does not answer"; }
printf 'the image has %d KiB, runs as 65532 and answers\n' $((bytes >> 10))
