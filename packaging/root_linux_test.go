package packaging_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Time limits; ours. Fetching a Debian root takes 30 to 90 s.
const (
	rootWithin    = 8 * time.Minute
	commandWithin = time.Minute
)

// rootPackages are what a machine has before ours is installed, beyond
// Debian's smallest set.
const rootPackages = "systemd,systemd-sysv,dbus,iproute2,nftables,procps"

// wanted skips the test unless `make package-test` asked for it, as root, with
// the programs that it takes.
func wanted(t *testing.T) {
	t.Helper()
	if os.Getenv("SLUICE_PACKAGE_TEST") != "yes" {
		t.Skip("installs the package in a Debian root and boots it: make package-test")
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: no Debian root can be made")
	}
	for name, debian := range map[string]string{
		"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "dpkg-deb": "dpkg", "nsenter": "util-linux", "apt-get": "apt",
	} {
		tool(t, name, debian)
	}
}

// built is the package that `make deb` left.
func built(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("../dist/sluice_*_" + runtime.GOARCH + ".deb")
	if err != nil || len(found) == 0 {
		t.Fatalf("there is no package: make deb (%v)", err)
	}
	age := func(path string) time.Time {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return age(a).Compare(age(b)) })
	path, err := filepath.Abs(newest)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// debian says which release runs here and where apt gets it from.
func debian(t *testing.T) (suite, mirror string) {
	t.Helper()
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			suite = v
		}
	}
	targets := output(t, commandWithin, "apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
	for line := range strings.Lines(targets) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == suite && f[1] == "main" {
			return suite, f[2]
		}
	}
	t.Skipf("apt knows no mirror of %q", suite)
	return "", ""
}

// pristine returns a root of the smallest Debian with systemd. It is made
// once and kept for later runs, beside the temporary files of others.
func pristine(t *testing.T) string {
	t.Helper()
	suite, mirror := debian(t)
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("sluice-package-root-%s-%s", suite, runtime.GOARCH))
	if info, err := os.Lstat(dir); err == nil && ownedByRoot(info) {
		t.Logf("root of an earlier run: %s", dir)
		return dir
	}
	began := time.Now()
	making := t.TempDir() + "/root"
	output(t, rootWithin, "debootstrap", "--variant=minbase", "--include="+rootPackages, suite, making, mirror)
	if err := os.RemoveAll(filepath.Join(making, "var/cache/apt/archives")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(making, dir); err != nil && !errors.Is(err, fs.ErrExist) { // another run was faster
		t.Fatal(err)
	}
	t.Logf("root of %s made in %s: %s", suite, time.Since(began).Round(time.Second), dir)
	return dir
}

// fresh returns a copy-on-write copy of the pristine root.
func fresh(t *testing.T) string {
	t.Helper()
	lower, work := pristine(t), t.TempDir()
	dirs := map[string]string{}
	for _, name := range []string{"upper", "work", "root"} {
		dirs[name] = filepath.Join(work, name)
		if err := os.Mkdir(dirs[name], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	output(t, commandWithin, "mount", "-t", "overlay", "-o",
		fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, dirs["upper"], dirs["work"]), "sluice-package-test", dirs["root"])
	t.Cleanup(func() { unmount(t, dirs["root"]) })
	return dirs["root"]
}
