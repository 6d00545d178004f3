package privilege_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/internal/privilege"
)

// roleEnv makes this binary play a process whose privileges are looked at.
const roleEnv = "PRIVILEGE_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// play reduces, then says so and waits for the end of its input.
func play(role string) error {
	word, phase, _ := strings.Cut(role, "/")
	var keep []privilege.Cap
	switch word {
	case "nothing":
	case "net":
		keep = []privilege.Cap{privilege.NetAdmin, privilege.BPF, privilege.NetRaw}
	}
	if phase == "" {
		return privilege.ReExec(keep, os.Args, []string{roleEnv + "=" + word + "/reduced"})
	}
	if word == "net" {
		if err := lower(); err != nil {
			return err
		}
		if err := privilege.With(privilege.NetRaw, effective); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	_ = err // the end of the input is what it waits for
	return nil
}

// lower does, and says so where it cannot.
func lower() error {
	err := privilege.Lower(privilege.NetAdmin, privilege.BPF)
	if errors.Is(err, privilege.ErrCgo) {
		fmt.Println("cgo")
		return nil
	}
	return err
}

// effective looks whether this thread has CAP_NET_RAW now.
func effective() error {
	s, err := privilege.OfThread()
	if err == nil && !s.Effective.Has(privilege.NetRaw) {
		return errors.New("CAP_NET_RAW is not effective while it is raised")
	}
	return err
}

// start runs the role until the test ends and returns its process id, and
// whether its threads could not be reached.
func start(t *testing.T, role string) (pid int, cgo bool) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: only a process with privileges can lose them")
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
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
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	said := bufio.NewScanner(out)
	for said.Scan() && said.Text() == "cgo" {
		cgo = true
	}
	if said.Text() != "ready" {
		t.Fatalf("%q, %v", said.Text(), said.Err())
	}
	return cmd.Process.Pid, cgo
}

func TestReExecWithNothing(t *testing.T) {
	pid, _ := start(t, "nothing")
	threads, err := privilege.Threads(pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range threads {
		if s != (privilege.Sets{}) {
			t.Errorf("a thread still has: %s", s)
		}
	}
}

func TestReExecKeeps(t *testing.T) {
	pid, cgo := start(t, "net")
	threads, err := privilege.Threads(pid)
	if err != nil {
		t.Fatal(err)
	}
	keep := privilege.SetOf(privilege.NetAdmin, privilege.BPF, privilege.NetRaw)
	lowered := privilege.SetOf(privilege.NetAdmin, privilege.BPF)
	err = privilege.With(privilege.NetRaw, func() error { return nil })
	if err != nil {
		t.Errorf("raise: %v", err)
	}
	for _, s := range threads {
		if s.Permitted != keep || s.Bounding != keep {
			t.Errorf("want permitted and bounding %s: %s", keep, s)
		}
		switch {
		case s.Effective == lowered && s.Ambient == 0 && s.Inheritable == 0:
		case s.Effective == keep && cgo:
			t.Log("cgo: effective not lowered; run with CGO_ENABLED=0")
		default:
			t.Errorf("want effective %s: %s", lowered, s)
		}
	}
}

func TestRaiseNotPermitted(t *testing.T) {
	s, err := privilege.Of(0)
	if err != nil {
		t.Fatal(err)
	}
	if s.Permitted.Has(63) {
		t.Fatal("there is no capability 63")
	}
	err = privilege.With(63, func() error { return nil })
	if !errors.Is(err, os.ErrPermission) {
		t.Errorf("want a refusal, have %v", err)
	}
}

func TestNames(t *testing.T) {
	for c, want := range map[privilege.Cap]string{
		0: "CAP_CHOWN", privilege.SetGID: "CAP_SETGID", privilege.SetUID: "CAP_SETUID", privilege.SetPCap: "CAP_SETPCAP",
		privilege.NetAdmin: "CAP_NET_ADMIN", privilege.NetRaw: "CAP_NET_RAW", privilege.SysAdmin: "CAP_SYS_ADMIN",
		privilege.BPF: "CAP_BPF", 40: "CAP_CHECKPOINT_RESTORE", 41: "CAP_41",
	} {
		if c.String() != want {
			t.Errorf("%d: have %s, want %s", uint8(c), c, want)
		}
	}
	if s := privilege.SetOf(privilege.NetRaw, privilege.BPF); s.String() != "CAP_BPF CAP_NET_RAW" || privilege.Set(0).String() != "none" {
		t.Errorf("have %s", s)
	}
}

func TestOfNobody(t *testing.T) {
	if _, err := privilege.Of(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("have %v", err)
	}
	if _, err := privilege.Threads(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("have %v", err)
	}
}
