package auditlog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLog reads whatever stands in a log and goes on with it: no panic, and what Verify calls right up to somewhere is
// still right up to there after the end was set aside and a line was written.
func FuzzLog(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "three.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-10])
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		before, err := VerifyStream("x", bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		end, head := lastValid(content)
		if head.Seq == 0 {
			head.Hash = genesis
		}
		line, _, err := Entry{Seq: head.Seq + 1, What: SetAside, Prev: head.Hash}.encode()
		if err != nil {
			t.Fatal(err)
		}
		after, err := VerifyStream("x", bytes.NewReader(append(append(bytes.Clone(content[:end]), line...), '\n')), before.Head)
		if err != nil || after.Entries < before.Entries || before.OK() && !after.OK() {
			t.Fatalf("%v: before %+v %+v, after %+v %+v", err, before, before.Finding, after, after.Finding)
		}
	})
}
