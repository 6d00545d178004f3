package auditlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/internal/auditlog"
)

func open(t *testing.T, dir string) *auditlog.Log {
	t.Helper()
	l, err := auditlog.Open(dir, "gw-plant")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func add(t *testing.T, l *auditlog.Log, entries ...auditlog.Entry) auditlog.Head {
	t.Helper()
	var h auditlog.Head
	for _, e := range entries {
		var err error
		if h, err = l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// newest is the file that is written to.
func newest(t *testing.T, dir string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	return all[len(all)-1]
}

// fill writes n entries and closes the log.
func fill(t *testing.T, dir string, n int) auditlog.Head {
	t.Helper()
	l := open(t, dir)
	var h auditlog.Head
	for i := range n {
		h = add(t, l, auditlog.Entry{What: auditlog.Accept, Who: auditlog.Itself("test"), Object: fmt.Sprintf("interface eno%d", i)})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return h
}

func verify(t *testing.T, dir string, kept ...auditlog.Head) auditlog.Report {
	t.Helper()
	r, err := auditlog.Verify(dir, kept...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheChainGoesOnOverRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "audit")
	at := time.Date(2026, 11, 24, 1, 2, 3, 4, time.FixedZone("", 3600))
	digest := strings.Repeat("ab", 32)
	first := auditlog.Entry{
		At: at, What: auditlog.Apply, Who: auditlog.Who{UID: 0, LoginUID: 1000, PID: 7, Name: "root", Signer: "j.doe"}, Object: "configuration",
		Detail: "three\nlines\x1b[2J <&> ü", Before: digest, After: digest,
	}
	var heads []auditlog.Head
	for _, e := range []auditlog.Entry{first, {What: auditlog.Trip}, {What: auditlog.Reset}} {
		l := open(t, dir)
		heads = append(heads, add(t, l, e))
		if l.Head() != heads[len(heads)-1] {
			t.Error(l.Head())
		}
		if err := errors.Join(l.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		if _, err := l.Append(e); !errors.Is(err, auditlog.ErrClosed) {
			t.Error(err)
		}
	}
	r := verify(t, dir, heads...)
	if !r.OK() || r.Entries != 3 || r.Head != heads[2] || !r.From.Equal(at) {
		t.Errorf("%+v %+v", r, r.Finding)
	}
	got, err := auditlog.Read(dir, auditlog.Filter{})
	if err != nil || len(got) != 3 {
		t.Fatal(err, got)
	}
	want := first
	want.Seq, want.Node, want.At, want.Prev, want.Hash = 1, "gw-plant", at.UTC(), strings.Repeat("0", 64), heads[0].Hash
	if got[0] != want {
		t.Errorf("read %+v\nwant %+v", got[0], want)
	}
	if st, err := os.Stat(newest(t, dir)); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}
}

func TestASecondWriterIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	if _, err := auditlog.Open(dir, "x"); !errors.Is(err, auditlog.ErrBusy) {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	open(t, dir)
}

func TestWhatIsNoDigestIsRefused(t *testing.T) {
	l := open(t, t.TempDir())
	for _, bad := range []string{"x", strings.Repeat("AB", 32), strings.Repeat("ab", 33)} {
		if _, err := l.Append(auditlog.Entry{What: auditlog.Apply, After: bad}); err == nil {
			t.Error(bad)
		}
	}
}

func TestLongTextsAreCutAndSaySo(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("ü\x00", 1<<20)
	add(t, open(t, dir), auditlog.Entry{What: long, Who: auditlog.Who{Name: long, Signer: long}, Object: long, Detail: long})
	got, err := auditlog.Read(dir, auditlog.Filter{})
	if err != nil || len(got) != 1 || !strings.HasSuffix(got[0].Detail, "… (cut, 3145728 bytes)") || len(got[0].Detail) > 4096 {
		t.Errorf("%v %.200v", err, got)
	}
	if r := verify(t, dir); !r.OK() {
		t.Errorf("%+v", r.Finding)
	}
}

// A crash may leave any part of the last line, or blocks of zeros. It is kept, cut off, and told.
func TestATornEndIsSetAsideAndTold(t *testing.T) {
	whole := t.TempDir()
	fill(t, whole, 3)
	content, err := os.ReadFile(newest(t, whole))
	if err != nil {
		t.Fatal(err)
	}
	begin := bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
	second, err := auditlog.Read(whole, auditlog.Filter{Last: 2, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	last := content[begin:]
	for name, torn := range map[string][]byte{
		"one byte": last[:1], "half": last[:len(last)/2], "all but the newline": last[:len(last)-1],
		"zeros": make([]byte, 5000), "a line of zeros": append(make([]byte, 5000), '\n'), "text": []byte("abc\n\n{}\nde"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(newest(t, whole))), append(bytes.Clone(content[:begin]), torn...), 0o600); err != nil {
				t.Fatal(err)
			}
			if r := verify(t, dir); r.OK() || r.Entries != 2 || r.Finding.Line != 3 {
				t.Errorf("before: %+v", r)
			}
			l := open(t, dir)
			add(t, l, auditlog.Entry{What: auditlog.Start})
			r := verify(t, dir, auditlog.Head{Seq: 2, Hash: second[0].Hash})
			if !r.OK() || r.Entries != 4 || r.Asides != 1 {
				t.Errorf("after: %+v %+v", r, r.Finding)
			}
			kept, err := filepath.Glob(filepath.Join(dir, "*.torn"))
			if err != nil || len(kept) != 1 {
				t.Fatal(kept, err)
			}
			if b, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(b, torn) {
				t.Errorf("kept %q, want %q", b, torn)
			}
			told, err := auditlog.Read(dir, auditlog.Filter{What: []string{auditlog.SetAside}})
			if err != nil || len(told) != 1 || !strings.Contains(told[0].Detail, filepath.Base(kept[0])) {
				t.Error(told, err)
			}
		})
	}
}

// What was acknowledged does not vanish by being damaged: the head that was reported shows it.
func TestADamagedLastLineShowsAgainstTheHead(t *testing.T) {
	dir := t.TempDir()
	head := fill(t, dir, 3)
	path := newest(t, dir)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-20] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, open(t, dir), auditlog.Entry{What: auditlog.Start})
	if r := verify(t, dir); !r.OK() || r.Asides != 1 {
		t.Errorf("%+v %+v", r, r.Finding)
	}
	if r := verify(t, dir, head); r.OK() || r.Finding.Kind != auditlog.Altered || r.Finding.Seq != 3 {
		t.Errorf("%+v", r.Finding)
	}
}

func TestALogThatIsNoneIsNotGoneOnWith(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 1)
	if err := os.WriteFile(newest(t, dir), bytes.Repeat([]byte("x\n"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auditlog.Open(dir, "n"); !errors.Is(err, auditlog.ErrDamaged) || !strings.Contains(err.Error(), "move it away") {
		t.Error(err)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(lines []string) []string
		kind string
		line int
	}{
		{"altered", func(l []string) []string { l[1] = strings.Replace(l[1], "eno1", "eno9", 1); return l }, auditlog.Altered, 2},
		{"removed", func(l []string) []string { return slices.Delete(l, 1, 2) }, auditlog.Removed, 2},
		{"two removed", func(l []string) []string { return slices.Delete(l, 1, 3) }, auditlog.Removed, 2},
		{"first removed", func(l []string) []string { return l[1:] }, auditlog.Removed, 1},
		{"swapped", func(l []string) []string { l[1], l[2] = l[2], l[1]; return l }, auditlog.Reordered, 2},
		{"repeated", func(l []string) []string { return slices.Insert(l, 2, l[0]) }, auditlog.Reordered, 3},
		{"foreign line", func(l []string) []string { return slices.Insert(l, 1, "{}") }, auditlog.Altered, 2},
		{"long line", func(l []string) []string { l[0] = strings.Repeat("x", 1<<20); return l }, auditlog.Altered, 1},
		{"torn", func(l []string) []string { l[4] = ""; l[3] = l[3][:20]; return l[:4] }, auditlog.Torn, 4},
		{"cut", func(l []string) []string { return slices.Delete(l, 2, 4) }, auditlog.Truncated, 0},
		{"emptied", func([]string) []string { return nil }, auditlog.Truncated, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			head := fill(t, dir, 4)
			path := newest(t, dir)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			edited := strings.Join(c.edit(strings.Split(string(b), "\n")), "\n")
			if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
				t.Fatal(err)
			}
			r := verify(t, dir, head)
			if r.OK() || r.Finding.Kind != c.kind || r.Finding.Line != c.line {
				t.Errorf("%+v", r.Finding)
			}
			exported, err := auditlog.VerifyStream("x", strings.NewReader(edited), head)
			if err != nil || exported.OK() || exported.Finding.Kind != c.kind || exported.Finding.Line != c.line {
				t.Errorf("%v %+v", err, exported.Finding)
			}
		})
	}
}

func TestFilters(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	at := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for i := range 500 {
		what := auditlog.Restore
		if i%100 == 0 {
			what = auditlog.Trip
		}
		add(t, l, auditlog.Entry{At: at.Add(time.Duration(i) * time.Minute), What: what, Object: fmt.Sprintf("interface eno%d", i%10)})
	}
	for _, c := range []struct {
		f           auditlog.Filter
		n           int
		first, last uint64
	}{
		{auditlog.Filter{}, auditlog.DefaultLimit, 401, 500},
		{auditlog.Filter{Limit: 3}, 3, 498, 500},
		{auditlog.Filter{What: []string{auditlog.Trip}}, 5, 1, 401},
		{auditlog.Filter{First: 10, Last: 12}, 3, 10, 12},
		{auditlog.Filter{Object: "eno3", Limit: 1000}, 50, 4, 494},
		{auditlog.Filter{Since: at.Add(time.Minute), Until: at.Add(3 * time.Minute)}, 2, 2, 3},
	} {
		got, err := auditlog.Read(dir, c.f)
		if err != nil || len(got) != c.n || got[0].Seq != c.first || got[len(got)-1].Seq != c.last {
			t.Errorf("%+v: %v, %d entries", c.f, err, len(got))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "audit-00000000000000000900.jsonl"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := auditlog.Read(dir, auditlog.Filter{}); !errors.Is(err, auditlog.ErrDamaged) || len(got) != auditlog.DefaultLimit {
		t.Error(err, len(got))
	}
}

func TestHeadsAreReadAsTheyArePrinted(t *testing.T) {
	h := auditlog.Head{Seq: 12, Hash: strings.Repeat("0a", 32)}
	if got, err := auditlog.ParseHead(h.String()); err != nil || got != h {
		t.Error(got, err)
	}
	for _, bad := range []string{"", "12", "12:", "x:" + h.Hash, "-1:" + h.Hash, "012:" + h.Hash, "12:" + strings.ToUpper(h.Hash)} {
		if _, err := auditlog.ParseHead(bad); err == nil {
			t.Error(bad)
		}
	}
}

func TestWhoIsNamed(t *testing.T) {
	for want, w := range map[string]auditlog.Who{
		"unknown user":                                    {UID: auditlog.Nobody, LoginUID: auditlog.Nobody},
		"sluice warden":                                   {UID: auditlog.Nobody, LoginUID: auditlog.Nobody, Name: "sluice warden"},
		"root (uid 0), pid 9":                             {UID: 0, LoginUID: auditlog.Nobody, PID: 9, Name: "root"},
		"uid 99999, pid 9":                                {UID: 99999, LoginUID: 99999, PID: 9},
		"root (uid 0), logged in as uid 99999":            {UID: 0, LoginUID: 99999, Name: "root"},
		"root (uid 0), logged in as j.doe (uid 7), pid 1": {LoginUID: 7, Login: "j.doe", Name: "root", PID: 1},
		"signed by j.doe":                                 {UID: auditlog.Nobody, Signer: "j.doe"},
	} {
		if w.String() != want {
			t.Errorf("%q, want %q", w, want)
		}
	}
	if w := auditlog.Itself("x"); w.PID != os.Getpid() || w.UID != int64(os.Getuid()) {
		t.Errorf("%+v", w)
	}
	if w := auditlog.Peer(0, 1<<30); w.UID != 0 || w.LoginUID != auditlog.Nobody { // no such process any more
		t.Errorf("%+v", w)
	}
}

// TestAnyChangeIsFound: any byte changed, any line removed or moved is found by the chain, any cut by the head.
func TestAnyChangeIsFound(t *testing.T) {
	dir := t.TempDir()
	head := fill(t, dir, 12)
	whole, err := os.ReadFile(newest(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(bytes.Clone(lines[len(lines)-1]), '\n')
	rapid.Check(t, func(t *rapid.T) {
		var edited []byte
		some := rapid.IntRange(0, len(lines)-1)
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			edited = bytes.Clone(whole)
			at := rapid.IntRange(0, len(whole)-1).Draw(t, "at")
			edited[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		case 1:
			from := some.Draw(t, "from")
			to := rapid.IntRange(from+1, len(lines)).Draw(t, "to")
			edited = bytes.Join(slices.Delete(slices.Clone(lines), from, to), nil)
		case 2:
			a, b := some.Draw(t, "a"), some.Draw(t, "b")
			if a == b {
				t.Skip("nothing is swapped")
			}
			swapped := slices.Clone(lines)
			swapped[a], swapped[b] = swapped[b], swapped[a]
			edited = bytes.Join(swapped, nil)
		case 3:
			edited = whole[:rapid.IntRange(0, len(whole)-1).Draw(t, "cut")]
		case 4:
			i := some.Draw(t, "line")
			edited = bytes.Join(slices.Insert(slices.Clone(lines), some.Draw(t, "copied to"), lines[i]), nil)
		}
		r, err := auditlog.VerifyStream("x", bytes.NewReader(edited), head)
		if err != nil || r.OK() {
			t.Fatalf("%v: it was not found: %+v", err, r)
		}
	})
	if r, err := auditlog.VerifyStream("x", bytes.NewReader(whole), head); err != nil || !r.OK() {
		t.Errorf("%v %+v", err, r.Finding)
	}
}

// three are the entries of testdata/three.jsonl, which the document of the format shows.
func three() []auditlog.Entry {
	at := time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC)
	root := auditlog.Who{UID: 0, LoginUID: 1000, Login: "j.doe", PID: 4711, Name: "root"}
	itself := auditlog.Who{UID: 990, LoginUID: auditlog.Nobody, PID: 812, Name: "sluice run"}
	return []auditlog.Entry{
		{At: at, What: auditlog.Start, Who: itself, Object: "node gw-plant", Detail: "sluice 0.1.0", After: strings.Repeat("5a", 32)},
		{At: at.Add(time.Hour), What: auditlog.Trip, Who: itself, Object: "interface eno3", Detail: "sent 5 frames past both drops; set down; receivers closed"},
		{At: at.Add(2 * time.Hour), What: auditlog.Reset, Who: root, Object: "interface eno3", Detail: "CR-2231: a test of the maker's, cable pulled"},
	}
}

func TestTheFormatStaysAsItIs(t *testing.T) {
	dir := t.TempDir()
	add(t, open(t, dir), three()...)
	got, err := os.ReadFile(newest(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "three.jsonl"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v: written\n%swant\n%s", err, got, want)
	}
	doc, err := os.ReadFile("../../docs/formats/audit-log.md")
	if err != nil || !bytes.Contains(doc, want) {
		t.Errorf("%v: docs/formats/audit-log.md does not show testdata/three.jsonl", err)
	}
}

// root, who resets a trip while the node does not run, must not leave a log that the node cannot go on with.
func TestWhatRootWritesBelongsToTheNode(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, who alone may give files away")
	}
	const nobody = 65534
	node := t.TempDir()
	if err := os.Chown(node, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(node, "audit")
	fill(t, dir, 1)
	for _, path := range []string{dir, newest(t, dir)} {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := st.Sys().(*syscall.Stat_t); owner.Uid != nobody || owner.Gid != nobody {
			t.Errorf("%s belongs to %d:%d", path, owner.Uid, owner.Gid)
		}
	}
}
