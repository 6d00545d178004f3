package pluginhost_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
)

// place is somewhere with files, below a directory that any user may pass.
type place struct{ readable, writable, outside string }

func newPlace(t *testing.T) place {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := place{readable: filepath.Join(dir, "ca.pem"), writable: filepath.Join(dir, "deep", "out"), outside: filepath.Join(dir, "secret")}
	for _, f := range []string{p.readable, p.outside} {
		if err := os.WriteFile(f, []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p place) grants() []pluginhost.Grant {
	return []pluginhost.Grant{{Path: p.readable}, {Path: p.writable, Write: true}}
}

func (p place) config() string {
	return fmt.Sprintf(`{"Readable":%q,"Writable":%q,"Outside":%q}`, p.readable, p.writable, p.outside)
}

// assault starts the attacker and returns how its attacks ended.
func assault(t *testing.T, s *site, p place) map[string]string {
	t.Helper()
	i := s.start(t, "attacker", p.grants()...)
	in := newIntake()
	runWith(t, i, p.config(), in)
	got := map[string]string{}
	if err := json.Unmarshal(in.record(t), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func checkAttacks(t *testing.T, got map[string]string, allowed map[string][]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(got)) {
		want, ok := allowed[name]
		switch {
		case strings.HasPrefix(name, "ok: "):
			want = []string{"done"}
		case !ok:
			want = []string{"EPERM"}
		}
		if !slices.Contains(want, got[name]) {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
}

// ends are the attacks that end otherwise than with EPERM when all layers hold.
func ends() map[string][]string {
	return map[string][]string{
		"io_uring": {"ENOSYS"}, "shell": {"ENOENT", "EACCES"}, "list the root": {"EACCES"}, "read /etc": {"ENOENT"},
		"read /proc": {"ENOENT"}, "list interfaces": {"ENOENT"}, "write the root": {"EROFS", "EACCES"}, "read outside": {"ENOENT"},
		"write what is to read": {"EROFS", "EACCES"}, "a trap": {"EPERM"}, "run a file of its own": {"EACCES"},
	}
}

func TestHostilePluginStaysIn(t *testing.T) {
	s := newSite(t, "attacker")
	p := newPlace(t)
	checkAttacks(t, assault(t, s, p), ends())
	written, err := os.ReadFile(filepath.Join(p.writable, "result"))
	if err != nil || string(written) != "of " {
		t.Errorf("what it wrote: %q, %v", written, err)
	}
}

// TestLayersAreNamed: each layer that is missing is a reason to refuse, which names it and the exception to write; with
// the exception the plugin runs behind what is left.
func TestLayersAreNamed(t *testing.T) {
	for _, c := range []struct {
		layer, want string
		ends        map[string][]string
	}{
		{
			layer: "namespaces", want: `it would run without namespaces, empty root: namespaces: simulated: %s, or accept less by exception "…" { allows = "degraded_sandbox"  on = receiver.mock.attacker … }`,
			ends: map[string][]string{
				"read /etc": {"EACCES"}, "read /proc": {"EACCES"}, "list interfaces": {"EACCES"}, "write the root": {"EACCES"},
				"read outside": {"EACCES"}, "write what is to read": {"EACCES"}, "run a file of its own": {"EACCES"},
			},
		},
		{
			layer: "empty root", want: "it would run without empty root: empty root: simulated: ",
			ends: map[string][]string{
				"read /etc": {"EACCES"}, "read /proc": {"EACCES"}, "list interfaces": {"EACCES"}, "write the root": {"EACCES"},
				"read outside": {"EACCES"}, "write what is to read": {"EACCES"}, "run a file of its own": {"EACCES"},
			},
		},
		{
			layer: "landlock", want: "it would run without landlock: landlock: simulated: boot a kernel that has it",
			ends: map[string][]string{"list the root": {"done"}, "write the root": {"EROFS"}, "write what is to read": {"EROFS"}, "run a file of its own": {"EACCES"}},
		},
	} {
		t.Run(c.layer, func(t *testing.T) {
			var asked []string
			exempt := false
			s := newConfinedSite(t, pluginhost.Sandbox{Exempt: func(component string) bool {
				asked = append(asked, component)
				return exempt
			}}, "attacker")
			pluginhost.Withhold(s.Host, map[string]string{c.layer: "simulated"})
			_, err := s.Start(t.Context(), sdk.KindReceiver, "attacker", "mock.attacker")
			var se *pluginhost.StartError
			remedy := "run as root, allow them"
			if os.Geteuid() == 0 {
				remedy = "leave root its capabilities, run the gateway as an ordinary user"
			}
			if want := strings.ReplaceAll(c.want, "%s", remedy); !errors.As(err, &se) || !strings.Contains(err.Error(), want) {
				t.Fatalf("got  %v\nwant %s", err, want)
			}
			if _, err := s.Describe(t.Context(), sdk.KindReceiver, "attacker"); err == nil || !strings.Contains(err.Error(), "on = node.NAME") {
				t.Errorf("describe: %v", err)
			}
			if want := []string{"mock.attacker", ""}; !slices.Equal(asked, want) {
				t.Errorf("asked about %q", asked)
			}
			exempt = true
			want := ends()
			maps.Copy(want, c.ends)
			checkAttacks(t, assault(t, s, newPlace(t)), want)
		})
	}
}

func TestNothingStandsInForTheFilter(t *testing.T) {
	s := newConfinedSite(t, pluginhost.Sandbox{Exempt: func(string) bool { return true }}, "ok")
	pluginhost.Withhold(s.Host, map[string]string{"system call filter": "simulated"})
	_, err := s.Start(t.Context(), sdk.KindReceiver, "ok", "mock.ok")
	if want := "it would run without system call filter, which nothing can stand in for: simulated"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestLayers(t *testing.T) {
	s := newSite(t)
	pluginhost.Withhold(s.Host, map[string]string{"landlock": "simulated", "control group limits": "not here"})
	var got []string
	for _, l := range s.Layers() {
		if !l.OK {
			got = append(got, l.Name+": "+l.Reason)
		}
	}
	if want := []string{"landlock: simulated", "control group limits: not here"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestConfinementIsReadBack compares what the state says with what the kernel says.
func TestConfinementIsReadBack(t *testing.T) {
	s := newConfinedSite(t, pluginhost.Sandbox{Exempt: func(string) bool { return true }}, "ok")
	w := supervise(t, s, "ok")
	waitFor(t, "running", func() bool { return w.last().Status == pluginhost.StatusRunning })
	st := w.last()
	for _, want := range []string{
		"system call filter", "no capabilities, now or later", "empty root", "landlock", "no_new_privs", "dies with the gateway",
		"namespaces of its own",
	} {
		if !slices.ContainsFunc(st.Confinement, func(c string) bool { return strings.HasPrefix(c, want) }) {
			t.Errorf("%q lacks %s", st.Confinement, want)
		}
	}
	if all := "namespaces of its own: net mnt pid ipc uts cgroup"; !slices.Contains(st.Confinement, all) {
		t.Logf("%q: they cannot be read here", st.Confinement)
	}
	owner := "runs as the gateway's own user (no second one without root)"
	if os.Geteuid() == 0 {
		owner = "user 65534"
	}
	if !slices.ContainsFunc(st.Confinement, func(c string) bool { return strings.HasPrefix(c, "user ") || c == owner }) {
		t.Errorf("%q lacks %s", st.Confinement, owner)
	}
	for _, m := range st.Missing {
		if !strings.HasPrefix(m, "control group limits: ") {
			t.Errorf("missing: %s", m)
		}
	}
}

func TestGrants(t *testing.T) {
	p := newPlace(t)
	link := p.outside + "-link"
	if err := os.Symlink(p.outside, link); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(filepath.Dir(p.outside), "full")
	if err := os.MkdirAll(full, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "ok")
	for _, c := range []struct {
		grant pluginhost.Grant
		want  string
		root  bool // only then
	}{
		{pluginhost.Grant{Path: "relative"}, "not an absolute path", false},
		{pluginhost.Grant{Path: p.outside + "/../x"}, "not an absolute path in its shortest form", false},
		{pluginhost.Grant{Path: "/"}, "it contains /proc", false},
		{pluginhost.Grant{Path: "/proc/self"}, "nothing below /proc is given", false},
		{pluginhost.Grant{Path: "/etc"}, "not given to plugins as a whole", false},
		{pluginhost.Grant{Path: "/etc/cron.d", Write: true}, "nor to write to", false},
		{pluginhost.Grant{Path: "/dev/null"}, "nothing below /dev is given", false},
		{pluginhost.Grant{Path: link}, "a symbolic link is in it", false},
		{pluginhost.Grant{Path: link + "/below", Write: true}, "a symbolic link is in it", false},
		{pluginhost.Grant{Path: p.outside, Write: true}, "to write takes a directory", false},
		{pluginhost.Grant{Path: p.outside + "-missing"}, "no such file", false},
		{pluginhost.Grant{Path: full, Write: true}, "who cannot write to it, and it is not empty: chown -R", true},
	} {
		if c.root && os.Geteuid() != 0 {
			continue
		}
		_, err := s.Start(t.Context(), sdk.KindReceiver, "ok", "mock.ok", c.grant)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.grant, err, c.want)
		}
	}
}

// TestChosenUser: the operator's choice of a user holds, and a certificate below /etc may be read.
func TestChosenUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can choose another user")
	}
	s := newConfinedSite(t, pluginhost.Sandbox{PluginUID: 4242, PluginGID: 4243}, "ok")
	i := s.start(t, "ok", pluginhost.Grant{Path: "/etc/passwd"})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t4242\t4242\t4242\t4242\n", "Gid:\t4243\t4243\t4243\t4243\n", "Groups:\t \n", "CapEff:\t0000000000000000\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in %s", want, status)
		}
	}
}

// TestUnreadableGrant: the shim asks the kernel as the plugin's user, before the plugin runs.
func TestUnreadableGrant(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("without root the plugin runs as the user that made the file")
	}
	p := newPlace(t)
	if err := os.Chmod(p.readable, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "ok")
	_, err := s.Start(t.Context(), sdk.KindReceiver, "ok", "mock.ok", pluginhost.Grant{Path: p.readable})
	if want := "its sandbox could not be made: no privileges: the plugin's user"; err == nil || !strings.Contains(err.Error(), want) ||
		!strings.Contains(err.Error(), "cannot read "+p.readable+": chgrp") {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestOtherLanguages: a program that is not Go gets as far as its main, static or linked with the system's libraries.
func TestOtherLanguages(t *testing.T) {
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("there is no gcc to build a plugin in C with")
	}
	source := filepath.Join(t.TempDir(), "x.c")
	code := "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { char *p = malloc(1 << 20); p[0] = 'x'; fprintf(stderr, \"hello from C, %c\\n\", p[0]); return 3; }\n"
	if err := os.WriteFile(source, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"-static", "-pie"} {
		s := newSite(t)
		out, err := exec.CommandContext(t.Context(), cc, flag, "-o", filepath.Join(s.dir, "sluice-receiver-c"), source).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", flag, err, out)
		}
		_, err = s.Start(t.Context(), sdk.KindReceiver, "c", "mock.c")
		if want := `it ended before it served (exit status 3): its main must call sdk.Serve; its last output: "hello from C, x"`; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

// TestForeignLibrary: a program that is linked with more than the system has is refused with the library's name.
func TestForeignLibrary(t *testing.T) {
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("there is no gcc to build a library with")
	}
	dir := t.TempDir()
	for file, code := range map[string]string{"foreign.c": "int foreign(void) { return 1; }\n", "main.c": "int foreign(void);\nint main(void) { return foreign(); }\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t)
	for _, args := range [][]string{
		{"-shared", "-fPIC", "-o", "libforeign.so", "foreign.c"},
		{"-o", filepath.Join(s.dir, "sluice-receiver-c"), "main.c", "-L.", "-lforeign"},
	} {
		cmd := exec.CommandContext(t.Context(), cc, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", args, err, out)
		}
	}
	_, err = s.Start(t.Context(), sdk.KindReceiver, "c", "mock.c")
	if want := "it is linked with libforeign.so, which is in none of /lib/"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestGluttons: a plugin that takes more than its share ends; its neighbour does not notice.
func TestGluttons(t *testing.T) {
	limits := pluginhost.Limits{Memory: 256 << 20, PIDs: 64}
	for _, c := range []struct{ name, want string }{
		{"glutton", "signal: killed"},
		{"threads", "exit status 2: runtime: failed to create new OS thread"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newConfinedSite(t, pluginhost.Sandbox{Limits: limits}, c.name, "other")
			layers := s.Layers()
			if groups := layers[len(layers)-1]; !groups.OK && c.name == "glutton" {
				t.Skip("nothing bounds memory here: " + groups.Reason)
			}
			other := s.start(t, "other")
			run(t, other, newIntake())
			i := s.start(t, c.name)
			run(t, i, newIntake())
			await(t, "its end", i.Done())
			if err := i.Err(); err == nil || !strings.HasPrefix(strings.TrimPrefix(err.Error(), "mock."+c.name+": plugin has ended: "), strings.SplitN(c.want, ":", 2)[0]) {
				t.Errorf("err: %v, want %s", err, c.want)
			}
			if other.Err() != nil {
				t.Errorf("the other: %v", other.Err())
			}
		})
	}
}

// TestGroupsAreRemoved: nothing is left of a plugin's control group.
func TestGroupsAreRemoved(t *testing.T) {
	s := newSite(t, "ok")
	i := s.start(t, "ok")
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", i.PID()))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), fmt.Sprintf("sluice-%d/mock_ok-", os.Getpid())) {
		layers := s.Layers()
		t.Skip("no control groups here: " + layers[len(layers)-1].Reason)
	}
	if err := i.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-i.Done()
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if strings.Contains(parts[2], "/mock_ok-") {
			if _, err := os.Stat(filepath.Join("/sys/fs/cgroup", parts[1], parts[2])); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", line, err)
			}
		}
	}
}

func TestLibraries(t *testing.T) {
	for _, file := range []string{"/bin/sh", "/proc/self/exe"} {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // only read
		paths, err := pluginhost.Libraries(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			if info, err := os.Lstat(p.Source); err != nil || info.Mode()&os.ModeSymlink != 0 {
				t.Errorf("%+v: %v", p, err)
			}
		}
	}
}

func FuzzLibraries(f *testing.F) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(self[:64])
	f.Add(self[:4096])
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		paths, err := pluginhost.Libraries(strings.NewReader(string(raw)))
		if err != nil && len(paths) > 0 {
			t.Errorf("%v and %v", paths, err)
		}
	})
}

// TestSocketDirectories: a plugin makes its socket in a place of its own and sees nothing of the runtime directory.
func TestSocketDirectories(t *testing.T) {
	s := newSite(t, "ok", "other")
	for _, name := range []string{"ok", "other"} {
		i := s.start(t, name)
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", i.PID()))
		if err != nil {
			t.Skip("its mounts cannot be read here: ", err)
		}
		if strings.Contains(string(raw), "/plugin-dir") || strings.Count(string(raw), " /socket ") != 1 {
			t.Errorf("%s sees:\n%s", name, raw)
		}
	}
}
