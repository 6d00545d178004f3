package ledger_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/diode/ledger"
)

// BenchmarkScattered declares single batches and fills them later, with 10,000
// ranges open all the time.
func BenchmarkScattered(b *testing.B) {
	l, err := ledger.Open(b.TempDir(), ledger.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // of a benchmark
	mark := uint64(0)
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		mark++
		if err := l.Declare(gap(1+2*i, 1+2*i), at(mark)); err != nil {
			b.Fatal(err)
		}
		if i < 10_000 {
			continue
		}
		mark++
		if was, err := l.Fill(filled(1+2*(i-10_000), 10, ledger.Resend), at(mark)); !was || err != nil {
			b.Fatal(was, err)
		}
	}
}
