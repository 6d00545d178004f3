package guard

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func memoryAt(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "interfaces.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDamagedMemory: whatever is wrong with the file, the guard says what and
// does not start.
func TestDamagedMemory(t *testing.T) {
	const whole = `{"version": 1, "accepted": [{"name": "eth0", "kind": "device", "by": "first start", "at": "2026-11-24T00:00:00Z"}], "monitoring_points": [{"mac": "02:00:00:00:00:03", "rule": "eth1"}]}`
	for _, c := range []struct{ name, text, want string }{
		{"whole", whole, ""},
		{"empty", "", "damaged: EOF"},
		{"not JSON", "interfaces", "damaged: invalid character"},
		{"cut", whole[:len(whole)/2], "damaged: unexpected EOF"},
		{"twice", whole + whole, "damaged: something follows its end"},
		{"another version", strings.Replace(whole, `"version": 1`, `"version": 2`, 1), "its version is 2, this Sluice reads 1"},
		{"no version", strings.Replace(whole, `"version": 1, `, "", 1), "its version is 0"},
		{"unknown field", strings.Replace(whole, `"name"`, `"nom"`, 1), `unknown field "nom"`},
		{"no name", strings.Replace(whole, `"eth0"`, `""`, 1), `interface 1: name ""`},
		{"accepted by nobody", strings.Replace(whole, "first start", "me", 1), `accepted by "me"`},
		{"no list", `{"version": 1, "accepted": []}`, "damaged: a part is missing"},
		{"no address", strings.Replace(whole, "02:00:00:00:00:03", "", 1), `monitoring point 1: address ""`},
		{"null", "null", "its version is 0"},
		{"too large", whole + strings.Repeat(" ", maxMemoryBytes), "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := memoryAt(t, c.text)
			_, err := newGuard(Options{Log: quiet, Accepted: path}, newFake(loopback()), byIndex, true)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			damage, ok := errors.AsType[*MemoryError](err)
			if !ok || damage.Path != path || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("%v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestMemoryThatCannotBeKept(t *testing.T) {
	o := Options{Log: quiet, Accepted: filepath.Join(t.TempDir(), "missing", "interfaces.json")}
	if _, err := newGuard(o, newFake(loopback()), byIndex, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	o.Accepted = t.TempDir() // a folder, not a file
	var damage *MemoryError
	if _, err := newGuard(o, newFake(loopback()), byIndex, true); !errors.As(err, &damage) {
		t.Errorf("a folder: %v", err)
	}
}

// TestMemoryOnDisk: what is written is what is read, for nobody else's eyes,
// and nothing is left beside it.
func TestMemoryOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "interfaces.json")
	k := newFake(loopback(), ethernet(2, "eth0"), ethernet(3, "eth1"))
	o := Options{Policy: Policy{Monitoring: []string{"eth1"}}, Log: quiet, Accepted: path}
	g, err := newGuard(o, k, byIndex, true)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openMemory(path)
	if err != nil {
		t.Fatal(err)
	}
	if !again.started || !reflect.DeepEqual(again.accepted, g.mem.accepted) || !reflect.DeepEqual(again.watchMAC, g.mem.watchMAC) {
		t.Errorf("got %+v, want %+v", again, g.mem)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != memoryMode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	before := info.ModTime()
	g.decide(k.links) // with nothing new
	if info, err := os.Stat(path); err != nil || info.ModTime() != before {
		t.Errorf("written although nothing has changed (%v)", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestAcceptThatCannotBeWritten leaves everything as it was.
func TestAcceptThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	g, err := newGuard(Options{Log: quiet, Accepted: filepath.Join(dir, "interfaces.json")}, newFake(loopback()), byIndex, true)
	if err != nil {
		t.Fatal(err)
	}
	g.decide([]link{loopback(), ethernet(2, "eth0")})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var damage *MemoryError
	if _, err := g.Accept("eth0"); !errors.As(err, &damage) {
		t.Errorf("got %v", err)
	}
	if d := g.Snapshot().Decisions[1]; d.Role != Closed || !d.Fresh || d.Accepted {
		t.Errorf("%+v", d)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := g.Accept("mac:02:00:00:00:00:02")
	if err != nil || d.Role != Service || !d.Accepted || d.Fresh {
		t.Errorf("%+v, %v", d, err)
	}
	if s := g.Snapshot(); s.Decisions[1].Role != Service || len(s.Fresh) != 0 {
		t.Errorf("%+v", s)
	}
}

// TestFreshInterfacesAreListed for an alarm.
func TestFreshInterfacesAreListed(t *testing.T) {
	g := fakeGuard(t, newFake(loopback()), Policy{})
	if s := g.Snapshot(); len(s.Fresh) != 0 {
		t.Errorf("%+v", s.Fresh)
	}
	g.decide([]link{loopback(), ethernet(2, "eth0")})
	if s := g.Snapshot(); len(s.Fresh) != 1 || s.Fresh[0].Name != "eth0" || !strings.HasSuffix(s.Fresh[0].Reason, "sluice interfaces accept eth0") {
		t.Errorf("%+v", s.Fresh)
	}
}

// FuzzMemory: what can be read can be written, and read again as the same.
func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"version": 1, "accepted": [], "monitoring_points": []}`))
	f.Add([]byte(`{"version": 1, "accepted": [{"name": "eth0", "kind": "device", "by": "operator", "at": "2026-11-24T00:00:00Z", "mirror": {"verdict": "mirror", "unicast": 9, "foreign": 9, "text": "", "at": "2026-11-24T00:00:00Z"}}], "monitoring_points": [{"mac": "a", "rule": "b"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m := newMemory()
		if m.decode(text) != nil {
			return
		}
		out, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		again := newMemory()
		if err := again.decode(out); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		a, _ := json.Marshal(m.accepted)
		b, _ := json.Marshal(again.accepted)
		if string(a) != string(b) || !reflect.DeepEqual(m.watchMAC, again.watchMAC) {
			t.Errorf("%s\n%s", a, b)
		}
		_ = decide(Policy{Monitoring: []string{"eth1"}}, []link{loopback(), ethernet(2, "eth0")}, m, 0)
	})
}
