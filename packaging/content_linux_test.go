package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestContent compares the package's list with what it must and must not hold.
func TestContent(t *testing.T) {
	wanted(t)
	deb := built(t)
	listed := map[string]string{} // path to mode and owner
	for line := range strings.Lines(output(t, commandWithin, "dpkg-deb", "--contents", deb)) {
		if f := strings.Fields(line); len(f) >= 6 {
			listed[strings.TrimPrefix(f[5], ".")] = f[0] + " " + f[1]
		}
	}
	for path, want := range map[string]string{
		"/usr/bin/sluice": "-rwxr-xr-x root/root",
		"/usr/lib/sluice/plugins/sluice-receiver-tcp":          "-rwxr-xr-x root/root",
		"/usr/lib/sluice/plugins/sluice-receiver-udp":          "-rwxr-xr-x root/root",
		"/usr/lib/sluice/plugins/sluice-sink-file":             "-rwxr-xr-x root/root",
		"/usr/lib/sluice/plugins/sluice-sink-kics":             "-rwxr-xr-x root/root",
		"/usr/lib/systemd/system/sluice.service":               "-rw-r--r-- root/root",
		"/usr/lib/systemd/system/sluice-guard.service":         "-rw-r--r-- root/root",
		"/usr/lib/sysusers.d/sluice.conf":                      "-rw-r--r-- root/root",
		"/usr/lib/tmpfiles.d/sluice.conf":                      "-rw-r--r-- root/root",
		"/usr/share/doc/sluice/examples/isolate.conf":          "-rw-r--r-- root/root",
		"/etc/default/sluice":                                  "-rw-r--r-- root/root",
		"/etc/sluice/conf.d/README":                            "-rw-r--r-- root/root",
		"/usr/share/man/man8/sluice.8.gz":                      "-rw-r--r-- root/root",
		"/usr/share/bash-completion/completions/sluice":        "-rw-r--r-- root/root",
		"/usr/share/doc/sluice/copyright":                      "-rw-r--r-- root/root",
		"/usr/share/doc/sluice/changelog.gz":                   "-rw-r--r-- root/root",
		"/usr/share/doc/sluice/third-party-notices.gz":         "-rw-r--r-- root/root",
		"/usr/share/doc/sluice/docs/install.md":                "-rw-r--r-- root/root",
		"/usr/share/doc/sluice/docs/threat-model.md":           "-rw-r--r-- root/root",
		"/usr/share/doc/sluice/examples/substation-7/site.hcl": "-rw-r--r-- root/root",
	} {
		if got := listed[path]; got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for path, mode := range listed {
		if strings.ContainsAny(mode[:10], "sStT") || mode[8] == 'w' || !strings.HasSuffix(mode, "root/root") {
			t.Errorf("%s: %s", path, mode)
		}
		if strings.HasPrefix(path, "/var/") || strings.HasPrefix(path, "/run/") {
			t.Errorf("%s: made by systemd-tmpfiles, not carried", path)
		}
	}
}

// TestSamePackageAgain builds the package from the same stage twice.
func TestSamePackageAgain(t *testing.T) {
	wanted(t)
	var all []string
	for _, name := range []string{"one.deb", "two.deb"} {
		target := filepath.Join(t.TempDir(), name)
		cmd := exec.CommandContext(t.Context(), "bin/tools/nfpm", "package", "--packager", "deb", "--config", "packaging/nfpm.yaml", "--target", target)
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "STAGE=dist/stage-"+arch(t), "ARCH="+arch(t), "VERSION=0.0.1", "SOURCE_DATE_EPOCH=1700000000")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("nfpm: %v\n%s", err, out)
		}
		data, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(data))
	}
	if all[0] != all[1] {
		t.Error("two packages from the same files differ")
	}
}

// arch is what the newest package was built for.
func arch(t *testing.T) string {
	t.Helper()
	name := strings.TrimSuffix(filepath.Base(built(t)), ".deb")
	return name[strings.LastIndex(name, "_")+1:]
}

// TestLintian shows what Debian's own checker says; an error fails.
func TestLintian(t *testing.T) {
	wanted(t)
	lintian := tool(t, "lintian", "lintian")
	t.Log(output(t, patience, lintian, "--allow-root", "--fail-on", "error,warning", built(t)))
}

// TestManNamesEveryVerb compares the man page with the program's own list.
func TestManNamesEveryVerb(t *testing.T) {
	wanted(t)
	page, err := os.ReadFile("man/sluice.8")
	if err != nil {
		t.Fatal(err)
	}
	help := output(t, commandWithin, "../dist/stage-"+arch(t)+"/bin/sluice", "--help")
	_, verbs, ok := strings.Cut(help, "Available Commands:\n")
	if !ok {
		t.Fatalf("no list of verbs:\n%s", help)
	}
	verbs, _, _ = strings.Cut(verbs, "\n\n")
	for line := range strings.Lines(verbs) {
		if f := strings.Fields(line); len(f) > 0 && !strings.Contains(string(page), "\n.B "+f[0]+"\n") {
			t.Errorf("the man page does not name the verb %s", f[0])
		}
	}
}
