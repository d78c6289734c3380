#!/usr/bin/env bash
# Builds Bakeoff's two images and, where asked, pushes them to a registry of your own:
#
#   deploy/images/build.sh --registry REG --tag TAG [--push] [--tool docker|podman|buildah]
#
#   --registry REG  where the images belong, as europe-west4-docker.pkg.dev/project/bakeoff
#   --tag TAG       their tag; the commit's short hash without it
#   --push          push them (log in with the tool first)
#   --tool TOOL     docker, podman or buildah; the first of these that works without it
#   --base IMAGE    what the binaries lie on; `scratch` without it
#   --profile NAME  Cargo profile: `dist` (small and fast, slow to build) without it
#
# Needs a Rust toolchain with a C compiler on Linux. The binaries are static, so that the images
# hold nothing but them and the public certificate authorities (taken from this machine; name
# another bundle with CA_BUNDLE).
set -euo pipefail

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; }
fail() { echo "build.sh: $*" >&2; exit 2; }

registry='' tag='' push='' tool='' base=scratch profile=dist
while [ $# -gt 0 ]; do
    case $1 in
        --registry | --tag | --tool | --base | --profile)
            [ $# -ge 2 ] || fail "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift 2
            ;;
        --push) push=yes; shift ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; fail "unknown argument $1" ;;
    esac
done

root=$(cd "$(dirname "$0")/../.." && pwd)
[ -n "$registry" ] || fail "--registry is needed: the images are yours, no public ones exist"
[ -n "$tag" ] || tag=$(git -C "$root" rev-parse --short HEAD)
if [ -z "$tool" ]; then
    for candidate in docker podman buildah; do
        # A client whose daemon does not run is of no use.
        if "$candidate" info > /dev/null 2>&1; then tool=$candidate; break; fi
    done
    [ -n "$tool" ] || fail "none of docker, podman and buildah works here"
fi

ca_bundle=${CA_BUNDLE:-}
for candidate in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    if [ -z "$ca_bundle" ] && [ -s "$candidate" ]; then ca_bundle=$candidate; fi
done
[ -s "$ca_bundle" ] || fail "no certificate authorities found: install ca-certificates or set CA_BUNDLE"

# With --target, the flags reach the binaries alone and not the build scripts.
triple=$(rustc -vV | sed -n 's/^host: //p')
case $triple in
    *-linux-*) ;;
    *) fail "the images need Linux binaries, and this machine makes $triple" ;;
esac
cd "$root"
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" cargo build --locked \
    --profile "$profile" --target "$triple" \
    --package bakeoff-operator --package bakeoff-runner --bins
binaries=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
binaries=$binaries/$triple/$profile

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/bin" "$context/etc/ssl/certs"
for binary in bakeoff-operator bakeoff; do
    install -m 0755 "$binaries/$binary" "$context/bin/$binary"
    # Profiles that keep line tables make binaries several times the size.
    if command -v strip > /dev/null; then strip "$context/bin/$binary"; fi
done
install -m 0644 "$ca_bundle" "$context/etc/ssl/certs/ca-certificates.crt"
# The static libc reads it: names come from the pod's hosts file, then from cluster DNS.
echo 'hosts: files dns' > "$context/etc/nsswitch.conf"
printf 'root:x:0:0::/:/\nnonroot:x:65532:65532::/:/\n' > "$context/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' > "$context/etc/group"
chmod -R a+rX "$context"

for part in operator runner; do
    image=$registry/bakeoff-$part:$tag
    file=deploy/images/$part.Dockerfile
    case $tool in
        docker | podman)
            "$tool" build --quiet --build-arg "BASE=$base" --tag "$image" --file "$file" "$context" ;;
        buildah)
            buildah bud --quiet --isolation chroot --build-arg "BASE=$base" --tag "$image" \
                --file "$file" "$context" ;;
        *) fail "unknown tool $tool" ;;
    esac
    if [ -n "$push" ]; then "$tool" push "$image"; fi
    echo "$image"
done
