package auditlog_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/internal/auditlog"
)

func BenchmarkAppend(b *testing.B) {
	l, err := auditlog.Open(b.TempDir(), "gw-plant")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the directory goes
	for b.Loop() {
		if _, err := l.Append(three()[1]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify checks 10 000 entries: some years of a quiet node.
func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	l, err := auditlog.Open(dir, "gw-plant")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the directory goes
	for range 10_000 {
		if _, err := l.Append(three()[1]); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if r, err := auditlog.Verify(dir, l.Head()); err != nil || !r.OK() {
			b.Fatal(err, r.Finding)
		}
	}
}
