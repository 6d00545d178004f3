package auditlog_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// FuzzLog reads and takes up whatever stands in a log: no panic, and what Verify calls right up to somewhere is still
// right up to there after the log was taken up and written to.
func FuzzLog(f *testing.F) {
	seed := filepath.Join("testdata", "three.jsonl")
	b, err := os.ReadFile(seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-10])
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		before, err := auditlog.VerifyStream("x", bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "audit-00000000000000000001.jsonl"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := auditlog.Open(dir, "n")
		if errors.Is(err, auditlog.ErrDamaged) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // its directory goes
		if _, err := l.Append(auditlog.Entry{What: auditlog.Start}); err != nil {
			t.Fatal(err)
		}
		after, err := auditlog.Verify(dir, before.Head)
		if err != nil || after.Entries < before.Entries || before.OK() && !after.OK() {
			t.Fatalf("%v: before %+v %+v, after %+v %+v", err, before, before.Finding, after, after.Finding)
		}
	})
}
