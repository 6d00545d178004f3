package pluginhost_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
)

// TestStartFaults: every way not to start has an error that says what is wrong, and leaves nothing behind.
func TestStartFaults(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"exit0", "ended at once without a word (exit status 0): it is no plugin"},
		{"exit3", `ended before it served (exit status 3): its main must call sdk.Serve; its last output: "`},
		{"exit3", `no such device"`},
		{"stdout-garbage", `printed "hello, I am starting up" on standard output before it served`},
		{"stdout-flood", "on standard output before it served"},
		{"stdout-version", `speaks contract version "99", this gateway version 1`},
		{"stdout-tcp", `listens on "tcp", only unix sockets are allowed`},
		{"stdout-elsewhere", `listens on "/run/other.sock", which is not in /socket`},
		{"wrong-cookie", "These are not meant to be executed directly"},
		{"panic-describe", `it ended while it was asked what it is (exit status 2); its last output: "panic: mock: describe`},
		{"misnamed", `it says that it is "receiver" "other": the file has the wrong name`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.name)
			_, err := s.Start(t.Context(), sdk.KindReceiver, c.name, "mock")
			var se *pluginhost.StartError
			if !errors.As(err, &se) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestStartGivesUpOnHangs(t *testing.T) {
	for _, name := range []string{"never-serves", "hang-describe"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, name)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := s.Start(ctx, sdk.KindReceiver, name, "mock")
			if err == nil || !strings.Contains(err.Error(), "it hangs") {
				t.Errorf("err: %v", err)
			}
		})
	}
}

func TestFileFaults(t *testing.T) {
	s := newSite(t)
	write := func(name string, mode os.FileMode, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.dir, "sluice-receiver-"+name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("script", 0o755, "#!/bin/sh\necho hello\n")
	write("plain", 0o644, "\x7fELF")
	write("empty", 0o755, "")
	// A 64-bit big-endian header of s390x (elf(5)).
	write("foreign", 0o755, "\x7fELF\x02\x02\x01"+strings.Repeat("\x00", 9)+"\x00\x02\x00\x16"+strings.Repeat("\x00", 44))
	if err := os.Mkdir(filepath.Join(s.dir, "sluice-receiver-folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"script":  "not a program (no ELF header)",
		"empty":   "not a program (no ELF header)",
		"plain":   "is not executable: chmod 755 it",
		"foreign": "built for EM_S390/ELFCLASS64, this machine is",
		"folder":  "is not a file",
		"../x":    `plugin name "../x"`,
	} {
		_, err := s.Start(t.Context(), sdk.KindReceiver, name, "mock")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
}

func TestNotInstalled(t *testing.T) {
	s := newSite(t, "udp", "tcp")
	_, err := s.Find(sdk.KindReceiver, "upd")
	var ne *pluginhost.NotInstalledError
	if !errors.As(err, &ne) || ne.Suggestion != "udp" || len(ne.Installed) != 2 {
		t.Fatalf("err: %v", err)
	}
	for _, want := range []string{s.dir, `did you mean "udp"?`, "installed are receiver tcp, receiver udp"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if _, err := s.Find(sdk.KindSink, "udp"); err == nil {
		t.Error("found a sink")
	}
}

func TestDescribeAndValidate(t *testing.T) {
	s := newSite(t, "ok", "panic-validate")
	for range 2 { // the second answer is remembered
		info, err := s.Describe(t.Context(), sdk.KindReceiver, "ok")
		if err != nil || info.Name != "ok" || info.Version != "1.2.3" {
			t.Fatalf("%+v, %v", info, err)
		}
	}
	traits, problems, err := s.Validate(t.Context(), sdk.KindReceiver, "ok", []byte(`{}`))
	if err != nil || len(problems) != 0 || traits.Network != "udp" {
		t.Errorf("%+v, %v, %v", traits, problems, err)
	}
	_, problems, err = s.Validate(t.Context(), sdk.KindReceiver, "ok", []byte(`{"x":"bad"}`))
	if err != nil || len(problems) != 1 || problems[0].Advice != "make it good" {
		t.Errorf("%v, %v", problems, err)
	}
	_, _, err = s.Validate(t.Context(), sdk.KindReceiver, "panic-validate", []byte(`{}`))
	if err == nil || !strings.Contains(err.Error(), "panic: mock: validate") {
		t.Errorf("err: %v", err)
	}
}

// TestRunFaults: a plugin that fails while it runs ends its own run; another one next to it is not disturbed.
func TestRunFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		hurt   func(t *testing.T, i *pluginhost.Instance)
		status string
	}{
		{name: "panic-run", status: "exit status 2: panic: mock: run"},
		{name: "exit-run", status: "exit status 7"},
		{name: "hang-run", hurt: kill, status: "signal: killed"},
		{name: "ok", hurt: kill, status: "signal: killed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.name, "other")
			other := s.start(t, "other")
			otherEnded := run(t, other, newIntake())
			i := s.start(t, c.name)
			in := newIntake()
			ended := run(t, i, in)
			in.record(t)
			if c.hurt != nil {
				c.hurt(t, i)
			}
			if err := await(t, "run", ended); sdk.CodeOf(err) != sdk.CodeGone {
				t.Errorf("run: %v", err)
			}
			await(t, "done", i.Done())
			if err := i.Err(); !strings.HasSuffix(err.Error(), c.status) {
				t.Errorf("err: %v, want …%s", err, c.status)
			}
			if other.Err() != nil {
				t.Errorf("the other: %v", other.Err())
			}
			if err := other.Plugin().Drain(t.Context()); err != nil {
				t.Errorf("the other: %v", err)
			}
			if err := await(t, "the other", otherEnded); err != nil {
				t.Errorf("the other: %v", err)
			}
		})
	}
}

func kill(t *testing.T, i *pluginhost.Instance) {
	t.Helper()
	if err := syscall.Kill(i.PID(), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// TestStopIsBounded: neither a stopped process nor a hung handler delays the end.
func TestStopIsBounded(t *testing.T) {
	for _, name := range []string{"hang-run", "hang-drain", "ok"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, name)
			i := s.start(t, name)
			in := newIntake()
			ended := run(t, i, in)
			in.record(t)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			err := i.Plugin().Drain(ctx)
			if name == "hang-drain" && sdk.CodeOf(err) != sdk.CodeUnavailable {
				t.Errorf("drain: %v", err)
			}
			if name != "hang-drain" && err != nil {
				t.Errorf("drain: %v", err)
			}
			if err := syscall.Kill(i.PID(), syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			if err := i.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			<-i.Done()                 // Stop has waited for it
			_ = await(t, "run", ended) // how it ends is the fault's matter
			if err := i.Stop(t.Context()); err != nil {
				t.Errorf("second stop: %v", err)
			}
		})
	}
}

func TestLogFaults(t *testing.T) {
	t.Run("at-message", func(t *testing.T) {
		s := newSite(t, "at-message")
		i := s.start(t, "at-message")
		run(t, i, newIntake())
		waitFor(t, "three lines", func() bool { return strings.Count(s.log.String(), "component=mock.at-message") >= 3 })
		if i.Err() != nil {
			t.Errorf("err: %v", i.Err())
		}
	})
	t.Run("flood", func(t *testing.T) {
		s := newSite(t, "flood")
		i := s.start(t, "flood")
		ended := run(t, i, newIntake())
		waitFor(t, "the limit", func() bool { return strings.Contains(s.log.String(), "lines dropped") })
		if err := i.Plugin().Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if err := await(t, "run", ended); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(deadline)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not within %s", what, deadline)
		}
	}
}
