package auditlog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheChainGoesOnOverFiles(t *testing.T) {
	dir := t.TempDir()
	var head Head
	for range 3 { // restarts
		l, err := open(dir, "n", 2000)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if head, err = l.Append(Entry{What: Restore, Object: "interface eno3", Detail: "arp"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Verify(dir, head)
	if err != nil || !r.OK() || r.Entries != 60 || r.Files < 9 {
		t.Fatalf("%v %+v %+v", err, r, r.Finding)
	}
	names, err := files(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Size() > 2000 {
			t.Error(name, st.Size(), err)
		}
	}
	var exported strings.Builder
	if err := Export(dir, &exported); err != nil {
		t.Fatal(err)
	}
	if r, err := VerifyStream("x", strings.NewReader(exported.String()), head); err != nil || !r.OK() || r.Entries != 60 {
		t.Errorf("%v %+v", err, r)
	}
	if err := os.Remove(filepath.Join(dir, names[3])); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(dir); err != nil || r.OK() || r.Finding.Kind != Removed || r.Finding.File != names[4] || r.Finding.Line != 1 {
		t.Errorf("%v %+v", err, r.Finding)
	}
}

// A file that was begun and not written is begun again; what stands in it is set aside.
func TestAFileThatWasOnlyBegun(t *testing.T) {
	for _, content := range []string{"", "{\"seq\":2"} {
		dir := t.TempDir()
		l, err := Open(dir, "n")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(Entry{What: Start}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fileName(2)), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err = Open(dir, "n"); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(Entry{What: Start}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := Verify(dir)
		if err != nil || !r.OK() || (r.Asides == 1) != (content != "") {
			t.Errorf("%q: %v %+v %+v", content, err, r, r.Finding)
		}
	}
}

// A disk that takes nothing: nothing is acknowledged, nothing is half there, and it is told as soon as it can be.
func TestWhatCouldNotBeWrittenIsTold(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, "n")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the test reads what is on disk
	before, err := l.Append(Entry{What: Start})
	if err != nil {
		t.Fatal(err)
	}
	good := l.file
	if l.file, err = os.Open(good.Name()); err != nil { // for reading only
		t.Fatal(err)
	}
	for range 3 {
		if _, err := l.Append(Entry{What: Trip}); err == nil {
			t.Error("it was acknowledged")
		}
	}
	if l.Head() != before {
		t.Error(l.Head())
	}
	_ = l.file.Close()
	l.file = good
	if _, err := good.WriteAt([]byte("half of a li"), l.size); err != nil {
		t.Fatal(err)
	}
	head, err := l.Append(Entry{What: Reset})
	if err != nil || head.Seq != 3 {
		t.Fatal(head, err)
	}
	r, err := Verify(dir, before, head)
	if err != nil || !r.OK() || r.Missed != 1 {
		t.Errorf("%v %+v %+v", err, r, r.Finding)
	}
	got, err := Read(dir, Filter{What: []string{Missed}})
	if err != nil || len(got) != 1 || !strings.HasPrefix(got[0].Detail, "3 entries since ") {
		t.Error(got, err)
	}
}
