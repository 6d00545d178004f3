package gateway

import (
	"path/filepath"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

// testGroup is the receiving end of one diode with spool and ledger in a directory. Its receiver does not run.
func testGroup(t *testing.T, dir string, o spool.Options) *group {
	t.Helper()
	x := openTestGroup(t, dir, o)
	t.Cleanup(func() { _ = x.origin.Close(); _ = x.books.close() })
	return x
}

func openTestGroup(t *testing.T, dir string, o spool.Options) *group {
	t.Helper()
	b, err := openBooks(filepath.Join(dir, "ledger"), nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	x := &group{name: "d", books: b, log: quiet()}
	evict := func(c sdk.Class) func(spool.EntryHead) error {
		return func(h spool.EntryHead) error { return b.evict(c, h) }
	}
	if x.origin, err = openOriginWith(dir, fromOrigin("d"), o, evict, quiet()); err != nil {
		t.Fatal(err)
	}
	if err := b.follow(x.origin); err != nil {
		t.Fatal(err)
	}
	l := &link{diode: testDiode(), direction: "receive", origin: x.origin, group: x, log: quiet()}
	x.ends = []receiveEnd{{link: l}}
	return x
}
