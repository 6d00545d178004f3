package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const mounts = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 /docker/4d73 /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
34 31 0:31 / /nowhere/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
short line
`

func TestParse(t *testing.T) {
	got := parseMounts(mounts)
	want := []mount{
		{root: "/", point: "/sys/fs/cgroup/cpu,cpuacct", version: 1, controllers: []string{"rw", "cpu", "cpuacct"}},
		{root: "/docker/4d73", point: "/sys/fs/cgroup/memory", version: 1, controllers: []string{"rw", "memory"}},
		{root: "/", point: "/nowhere/unified", version: 2},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("mounts %+v", got)
	}
	groups := parseGroups("4:memory:/docker/4d73/x\n1:cpu,cpuacct:/\n0::/user.slice\nbad\n")
	if want := map[string]string{"memory": "/docker/4d73/x", "cpu": "/", "cpuacct": "/", "": "/user.slice"}; !reflect.DeepEqual(groups, want) {
		t.Errorf("groups %v", groups)
	}
	if dir, err := got[1].dirOf("/docker/4d73/x"); err != nil || dir != "/sys/fs/cgroup/memory/x" {
		t.Errorf("dir %s, %v", dir, err)
	}
	if _, err := got[1].dirOf("/docker/other"); err == nil {
		t.Error("a group beyond what is mounted was found")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(mounts, "4:memory:/docker\n")
	f.Add("1 2 3 4 5 - cgroup x y", "::")
	f.Fuzz(func(t *testing.T, m, g string) {
		s := system{mounts: parseMounts(strings.ReplaceAll(m, "cgroup2", "cgroup")), own: parseGroups(g), pid: 1}
		for _, c := range []string{memory, pids, cpu} {
			if at, ok := s.mountOf(c); ok {
				if dir, err := at.dirOf(s.own[c]); err == nil && dir == "" {
					t.Error("no directory and no error")
				}
			}
		}
	})
}

func TestSettings(t *testing.T) {
	all := []string{memory, pids, cpu}
	l := Limits{Memory: 1 << 20, PIDs: 7, CPU: 1.5}
	for _, c := range []struct {
		at     place
		limits Limits
		want   string
	}{
		{place{version: 2, controllers: all}, l, "memory.max=1048576 memory.swap.max=0 memory.oom.group=1 pids.max=7 cpu.max=150000 100000"},
		{place{version: 1, controllers: all}, l, "memory.limit_in_bytes=1048576 memory.memsw.limit_in_bytes=1048576 pids.max=7 cpu.cfs_period_us=100000 cpu.cfs_quota_us=150000"},
		{place{version: 1, controllers: []string{pids}}, l, "pids.max=7"},
		{place{version: 2, controllers: all}, Limits{CPU: 0.0001}, "cpu.max=1000 100000"},
		{place{version: 2, controllers: all}, Limits{}, ""},
	} {
		var got []string
		for _, s := range settings(c.at, c.limits) {
			got = append(got, s.file+"="+s.value)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%+v: %s, want %s", c.at, s, c.want)
		}
	}
}

// hierarchy makes directories that look like groups of version 2. What only the kernel would do does not happen in them.
func hierarchy(t *testing.T, files map[string]string) (root string, sys *system) {
	t.Helper()
	root = t.TempDir()
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	if err := os.CopyFS(root, tree); err != nil {
		t.Fatal(err)
	}
	sys = &system{
		mounts: []mount{{root: "/", point: root, version: 2, controllers: []string{memory, pids, cpu}}},
		own:    map[string]string{"": "/a/b"}, pid: os.Getpid(),
	}
	return root, sys
}

func TestFindDelegated(t *testing.T) {
	me := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		name  string
		files map[string]string
		dir   string
		want  string // place below the root, or an error
	}{
		{
			name:  "own has them",
			files: map[string]string{"a/b/cgroup.subtree_control": "cpu memory pids", "a/b/cgroup.procs": me},
			want:  "a/b",
		},
		{
			name:  "one above has them",
			files: map[string]string{"a/cgroup.subtree_control": "memory pids cpu", "a/b/cgroup.subtree_control": "", "a/b/cgroup.procs": "1\n" + me},
			want:  "a",
		},
		{
			name:  "nobody has them",
			files: map[string]string{"a/cgroup.subtree_control": "hugetlb", "a/b/cgroup.subtree_control": "", "a/b/cgroup.procs": "1\n" + me},
			want:  "is not delegated to this process (in a systemd unit: Delegate=yes)",
		},
		{
			name:  "named",
			files: map[string]string{"x/cgroup.subtree_control": "memory pids cpu"},
			dir:   "x", want: "x",
		},
		{
			name:  "named, not enabled",
			files: map[string]string{"x/cgroup.subtree_control": ""},
			dir:   "x", want: "it is not enabled in",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, sys := hierarchy(t, c.files)
			dir := ""
			if c.dir != "" {
				dir = filepath.Join(root, c.dir)
			}
			at, err := sys.place(memory, dir)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %s", err, c.want)
				}
				return
			}
			if at.dir != filepath.Join(root, c.want) || at.version != 2 {
				t.Errorf("%+v, want %s", at, c.want)
			}
		})
	}
}

// TestStepDown: a process alone in its group moves below it, one that is not stays.
func TestStepDown(t *testing.T) {
	me := strconv.Itoa(os.Getpid())
	for procs, want := range map[string]string{me + "\n": me, "": "", "1\n" + me + "\n": "other processes live there"} {
		root, sys := hierarchy(t, map[string]string{
			"a/b/cgroup.procs": procs, "a/b/cgroup.subtree_control": "", "a/b/core/cgroup.procs": "",
		})
		own := filepath.Join(root, "a", "b")
		var got string
		if err := sys.stepDown(own, pids); err != nil {
			got = err.Error()
		} else {
			raw, _ := os.ReadFile(filepath.Join(own, "core", "cgroup.procs"))
			got = string(raw)
			if !enabledAfter(own) {
				t.Errorf("%q: not enabled", procs)
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", procs, got, want)
		}
	}
}

// enabledAfter reads what was written, which the kernel would turn into "pids".
func enabledAfter(dir string) bool { return enabled(dir, "+"+pids) }

func TestNamedBeyondAnyHierarchy(t *testing.T) {
	_, sys := hierarchy(t, nil)
	if _, err := sys.find("/home"); err == nil || !strings.Contains(err.Error(), "/home lies in no hierarchy of control groups") {
		t.Errorf("%v", err)
	}
	if _, err := (&system{}).find(""); err == nil || !strings.Contains(err.Error(), "memory: the kernel does not have it") {
		t.Errorf("%v", err)
	}
}

// TestSettle: what gateways that are dead have left is removed, what lives stays.
func TestSettle(t *testing.T) {
	root := t.TempDir()
	const dead = 1 << 30 // above the kernel's largest process id (proc(5), pid_max: 4194304)
	live := filepath.Join(root, prefix+"1")
	for _, dir := range []string{filepath.Join(root, prefix+strconv.Itoa(dead), "x"), live, filepath.Join(root, prefix+"word")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	at := place{dir: root, version: 1}
	if err := at.settle(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := []string{prefix + "1", prefix + strconv.Itoa(os.Getpid()), prefix + "word"}
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("left: %s, want %s", left, want)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"udp.kics-agents": "udp_kics-agents", "../../etc": "______etc", "cgroup.procs": "cgroup_procs", "": "",
		strings.Repeat("ä", 300): strings.Repeat("_", 100),
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestGroup uses the machine's own control groups.
func TestGroup(t *testing.T) {
	p, err := Find("")
	if err != nil {
		t.Skip("none are ours here: ", err)
	}
	defer p.Close()
	g, err := p.New("test.group", Limits{Memory: 64 << 20, PIDs: 11, CPU: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, dir := range g.dirs {
		for file, want := range map[string]string{"pids.max": "11", "memory.limit_in_bytes": "67108864", "memory.max": "67108864", "cpu.cfs_quota_us": "50000", "cpu.max": "50000 100000"} {
			raw, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				continue
			}
			found++
			if got := strings.TrimSpace(string(raw)); got != want {
				t.Errorf("%s: %s, want %s", file, got, want)
			}
		}
	}
	if want := 3 - len(p.Missing()); found != want {
		t.Errorf("%d limits, want %d", found, want)
	}
	if err := errors.Join(g.Close(), g.Close()); err != nil {
		t.Error(err)
	}
	if err := g.Add(1); err == nil {
		t.Error("added to a group that is gone")
	}
	if g.Kill() && g.killer == "" {
		t.Error("killed without a way to")
	}
}

// TestNothingToLimit: where a controller of version 1 has no limit to keep, no group is made.
func TestNothingToLimit(t *testing.T) {
	root := t.TempDir()
	p := &Parent{places: []place{{dir: root, version: 1, controllers: []string{cpu}}}}
	g, err := p.New("x", Limits{PIDs: 7})
	if err != nil || len(g.dirs) != 0 {
		t.Fatalf("%v, %v", g, err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}
