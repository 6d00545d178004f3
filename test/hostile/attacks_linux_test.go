package hostile_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/test/hostile"
)

// TestAttacks tries every attack from inside the sandbox, where each must fail as listed, and then without it, where
// each must come to something else: else the row says nothing.
func TestAttacks(t *testing.T) {
	s := newSite(t, pluginhost.Sandbox{})
	for _, l := range s.Layers() {
		t.Logf("layer %-22s %t %s", l.Name, l.OK, l.Reason)
	}
	inside := s.inside(t)
	outside := controls(t, s.place)
	tally := map[string]int{}
	for _, a := range hostile.Attacks() {
		t.Run(a.Name, func(t *testing.T) {
			got, ok := inside[a.Name]
			if !ok {
				t.Fatal("not tried: the plugin has ended before it said what came of it")
			}
			if !a.Holds(got) {
				t.Errorf("inside: %s (%s), must be one of %v", got, got.Text, a.Want)
			}
			why := uncontrolled(a)
			if why == "" {
				why = compare(t, a, got, outside[a.Name])
			}
			if why != "" {
				tally["without a control"]++
				t.Logf("inside: %s; no control: %s", got, why)
				return
			}
			tally["with a control"]++
			t.Logf("inside: %s; without the sandbox: %s", got, outside[a.Name])
		})
	}
	t.Logf("RESULT attacks=%d controlled=%d uncontrolled=%d user=%d", len(hostile.Attacks()), tally["with a control"], tally["without a control"], os.Geteuid())
	s.checkSteady(t)
	if s.steady.Err() != nil {
		t.Errorf("the other plugin: %v", s.steady.Err())
	}
}

// inside has the hostile plugin try all attacks. What ends its process gets a process of its own.
func (s *site) inside(t *testing.T) map[string]hostile.Outcome {
	t.Helper()
	var together []string
	got := map[string]hostile.Outcome{}
	for _, a := range hostile.Attacks() {
		if !slices.Contains(a.Want, hostile.Killed) {
			together = append(together, a.Name)
			continue
		}
		for _, o := range s.collect(t, a.Name) {
			got[o.Attack] = o
		}
	}
	for _, o := range s.collect(t, together...) {
		got[o.Attack] = o
	}
	return got
}

// collect runs attacks in one process and returns their outcomes. The attack that ended the process is among them.
func (s *site) collect(t *testing.T, names ...string) []hostile.Outcome {
	t.Helper()
	i, out := s.attack(t, hostile.Orders(s.place, "", names...))
	var got []hostile.Outcome
	for len(got) < len(names) {
		select {
		case o := <-out.said:
			got = append(got, o)
			continue
		case <-i.Done():
		}
		for len(out.said) > 0 {
			got = append(got, <-out.said)
		}
		if len(got) < len(names) {
			got = append(got, ended(names[len(got)], i.Err()))
		}
		break
	}
	s.checkSteady(t)
	stop(t, i)
	return got
}

// ended is the outcome of an attack that ended the process.
func ended(name string, err error) hostile.Outcome {
	o := hostile.Outcome{Attack: name, Impossible: true, Text: "the plugin has ended: " + fmt.Sprint(err)}
	if err != nil && strings.Contains(err.Error(), "bad system call") {
		o.Errno, o.Impossible = hostile.Killed, false
	}
	return o
}

// uncontrolled says why an attack is not tried without the sandbox, by this user.
func uncontrolled(a hostile.Attack) string {
	if a.Uncontrolled == "" && a.Needs == hostile.Root && os.Geteuid() != 0 {
		return "only root may try it"
	}
	return a.Uncontrolled
}

// compare holds the two outcomes against each other; the answer says why they may be the same.
func compare(t *testing.T, a hostile.Attack, in, out hostile.Outcome) string {
	t.Helper()
	switch {
	case out.Attack == "":
		t.Error("without the sandbox: not tried")
	case out.Impossible:
		return out.Text
	case out.Errno == unix.ENOSYS && slices.Contains(a.Want, unix.ENOSYS):
		return "this kernel does not have it"
	case out.Errno == in.Errno:
		t.Errorf("without the sandbox it comes to %s (%s) as well: the row says nothing", out, out.Text)
	}
	return ""
}

// controls tries the attacks unconfined: those that spoil their process in one of their own.
func controls(t *testing.T, p hostile.Place) map[string]hostile.Outcome {
	t.Helper()
	pid := victim(t)
	p.Core, p.Other = pid, pid
	groups := map[string][]hostile.Attack{}
	for _, a := range hostile.Attacks() {
		if uncontrolled(a) != "" {
			continue
		}
		key := fmt.Sprint("together ", a.Needs == hostile.Namespace)
		if a.Alone {
			key = a.Name
		}
		groups[key] = append(groups[key], a)
	}
	got := map[string]hostile.Outcome{}
	for _, g := range groups {
		write(t, p.Readable)
		for _, o := range unconfined(t, p, g) {
			got[o.Attack] = o
		}
	}
	return got
}

// unconfined runs attacks in a process that nothing confines, but that has a mount namespace of its own so that what it
// does there stays there.
func unconfined(t *testing.T, p hostile.Place, attacks []hostile.Attack) []hostile.Outcome {
	t.Helper()
	names := make([]string, 0, len(attacks))
	for _, a := range attacks {
		names = append(names, a.Name)
	}
	ours, theirs, err := control.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()   //nolint:errcheck // nobody reads
	defer theirs.Close() //nolint:errcheck // the process has its own
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), controlVariable+"="+string(hostile.Orders(p, "", names...)))
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = freedom(attacks[0].Needs)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%q without the sandbox: %v\n%s", names, err, out)
	}
	var got []hostile.Outcome
	for line := range bytes.Lines(out) {
		var o hostile.Outcome
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got = append(got, o)
	}
	if len(got) == 0 && err == nil && len(attacks) == 1 {
		got = []hostile.Outcome{{Attack: names[0], Text: "the process became another program"}}
	}
	return got
}

// freedom is what an attack needs outside: root has it, an ordinary user gets it in a user namespace.
func freedom(n hostile.Need) *syscall.SysProcAttr {
	apart := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC)
	switch {
	case os.Geteuid() == 0:
		return &syscall.SysProcAttr{Unshareflags: apart}
	case n == hostile.Nothing:
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | apart,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
}

// victim is a process that the unconfined attacks may have.
func victim(t *testing.T) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), victimVariable+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(io.LimitReader(out, 64)).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}
