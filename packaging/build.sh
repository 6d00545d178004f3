#!/bin/sh
# Builds dist/sluice_VERSION_ARCH.deb. From the root of the source, with nfpm as
# first argument. VERSION and ARCH (as Go calls it) may be set; with the same
# SOURCE_DATE_EPOCH the same package comes out, byte for byte.
set -eu

nfpm=$1
ARCH=${ARCH:-$(go env GOARCH)}
VERSION=${VERSION:-$(sed -n 's/^var version = "\(.*\)"$/\1/p' cmd/sluice/version.go)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
STAGE=dist/stage-$ARCH
export ARCH VERSION SOURCE_DATE_EPOCH STAGE

share=$STAGE/share
doc=$share/doc/sluice
rm -rf "$STAGE"
umask 022
mkdir -p "$STAGE/bin" "$doc/examples" "$share/man/man8" \
	"$share/bash-completion/completions" "$share/zsh/vendor-completions" "$share/fish/vendor_completions.d"

# Without cgo: a plugin runs in an empty root, where no shared library is.
CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH go build -trimpath -buildvcs=false \
	-ldflags "-s -w -X main.version=$VERSION" -o "$STAGE/bin/" ./cmd/...

sluice=$STAGE/bin/sluice
if [ "$ARCH" != "$(go env GOHOSTARCH)" ]; then
	sluice=$STAGE/sluice-of-this-machine
	CGO_ENABLED=0 GOARCH= GOOS= go build -trimpath -buildvcs=false -o "$sluice" ./cmd/sluice
fi
"$sluice" completion bash >"$share/bash-completion/completions/sluice"
"$sluice" completion zsh >"$share/zsh/vendor-completions/_sluice"
"$sluice" completion fish >"$share/fish/vendor_completions.d/sluice.fish"

gzip -9n <packaging/man/sluice.8 >"$share/man/man8/sluice.8.gz"

# The documents keep their folders, so that their links hold.
find docs -name '*.md' | while read -r file; do
	mkdir -p "$doc/$(dirname "$file")"
	cp "$file" "$doc/$file"
done
cp CHANGELOG.md "$doc/docs/"
for example in quickstart substation-7; do
	cp -r "hcl/examples/$example" "$doc/examples/"
done

# Debian's form of the changelog, one entry: the newest of CHANGELOG.md.
{
	printf 'sluice (%s) unstable; urgency=medium\n\n' "$VERSION"
	awk '/^## /{n++} n==1 && /^- /{sub(/^- /, ""); print}' CHANGELOG.md | fold -s -w 74 | sed 's/ *$//; s/^/    /' | sed '1s/^    /  * /'
	printf '\n -- Sluice maintainers <maintainers@users.noreply.github.com>  %s\n' "$(LC_ALL=C date -uRd "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$doc/changelog.gz"

# What the licences of the libraries inside ask for.
packaging/notices.sh "$ARCH" >"$doc/third-party-notices"
gzip -9n "$doc/third-party-notices"

find "$STAGE" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
"$nfpm" package --packager deb --config packaging/nfpm.yaml --target "dist/sluice_${VERSION}_$ARCH.deb" >/dev/null
ls -l "dist/sluice_${VERSION}_$ARCH.deb"
