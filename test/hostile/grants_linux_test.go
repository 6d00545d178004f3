package hostile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/test/hostile"
)

// TestLinksAreNotFollowed plants links where a plugin may write, as one could from outside the sandbox or through a
// hole in it, and has the host grant what they lead to: it must refuse, and change nothing behind them.
func TestLinksAreNotFollowed(t *testing.T) {
	s := newSite(t, pluginhost.Sandbox{})
	target := filepath.Join(filepath.Dir(s.place.Secret), "target")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	link := func(name, to string) string {
		path := filepath.Join(s.place.Granted, name)
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dir, file := link("dir", target), link("file", s.place.Secret)
	dangling := link("dangling", filepath.Join(target, "made-by-the-host"))
	before := stat(t, target)
	for _, c := range []struct {
		name  string
		grant pluginhost.Grant
	}{
		{"directory to write", pluginhost.Grant{Path: dir, Write: true}},
		{"missing directory below it", pluginhost.Grant{Path: filepath.Join(dir, "new", "newer"), Write: true}},
		{"directory that is not there", pluginhost.Grant{Path: dangling, Write: true}},
		{"directory to read", pluginhost.Grant{Path: dir}},
		{"file", pluginhost.Grant{Path: file}},
		{"file to write", pluginhost.Grant{Path: file, Write: true}},
		{"file behind a directory", pluginhost.Grant{Path: filepath.Join(link("up", filepath.Dir(s.place.Secret)), filepath.Base(s.place.Secret))}},
		{"way out by dots", pluginhost.Grant{Path: s.place.Granted + "/../state/link.key"}},
		{"sockets of the others", pluginhost.Grant{Path: s.place.Runtime, Write: true}},
		{"above the sockets", pluginhost.Grant{Path: filepath.Dir(s.place.Runtime), Write: true}},
		{"everything", pluginhost.Grant{Path: "/"}},
		{"processes", pluginhost.Grant{Path: "/proc/self"}},
		{"devices", pluginhost.Grant{Path: "/dev/shm", Write: true}},
		{"settings as a whole", pluginhost.Grant{Path: "/etc"}},
		{"settings to write", pluginhost.Grant{Path: "/etc/ssl", Write: true}},
		{"a socket", pluginhost.Grant{Path: s.place.Console}},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, err := s.Start(t.Context(), sdk.KindReceiver, attacker, "test", c.grant)
			if err == nil {
				_ = i.Stop(t.Context())
				t.Fatalf("%+v is granted", c.grant)
			}
			t.Log(err)
			if _, ok := errors.AsType[*pluginhost.StartError](err); !ok {
				t.Errorf("%T is no StartError", err)
			}
		})
	}
	if after := stat(t, target); after.Uid != before.Uid || after.Mode != before.Mode {
		t.Errorf("what a link leads to was changed: %d %o, before %d %o", after.Uid, after.Mode, before.Uid, before.Mode)
	}
	if entries, err := os.ReadDir(target); err != nil || len(entries) > 0 {
		t.Errorf("something was made behind a link: %v, %v", entries, err)
	}
	s.checkSteady(t)
	// The control: what is no link is granted.
	s.place.Granted = filepath.Join(filepath.Dir(s.place.Granted), "without-links")
	i, _ := s.attack(t, hostile.Orders(s.place, ""))
	stop(t, i)
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// TestSwappedFile changes a plugin's file in place: the process that runs is not touched, its hash stays that of what
// runs, and the next start runs, or refuses, the new content under its own hash.
func TestSwappedFile(t *testing.T) {
	s := newSite(t, pluginhost.Sandbox{})
	running := s.start(t, attacker)
	path, err := s.Find(sdk.KindReceiver, attacker)
	if err != nil {
		t.Fatal(err)
	}
	// Not the file that the steady plugin shares.
	if err := ownCopy(path); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // written below, and checked there
	if _, err := f.WriteAt([]byte("trailer"), size(t, path)); err != nil {
		t.Fatal(err)
	}
	if _, err := running.Plugin().Describe(t.Context()); err != nil {
		t.Errorf("the one that runs: %v", err)
	}
	changed := s.start(t, attacker)
	if changed.SHA256() == running.SHA256() {
		t.Error("another content has the same hash")
	}
	if _, err := f.WriteAt([]byte("#!/bin/sh\n"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(t.Context(), sdk.KindReceiver, attacker, "test"); err == nil || !strings.Contains(err.Error(), "not a program") {
		t.Errorf("a script starts: %v", err)
	}
	for _, i := range []*pluginhost.Instance{running, changed} {
		if _, err := i.Plugin().Describe(t.Context()); err != nil {
			t.Errorf("one that runs: %v", err)
		}
		stop(t, i)
	}
	s.checkSteady(t)
}

// ownCopy replaces a file by a copy of itself.
func ownCopy(path string) error {
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // only read
	if err := os.Remove(path); err != nil {
		return err
	}
	dst, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	return stat(t, path).Size
}
