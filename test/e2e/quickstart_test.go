package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestQuickstart is what a newcomer does, by the programs that the README names.
func TestQuickstart(t *testing.T) {
	q := newQuickstart(t)
	q.start()
	for _, c := range []struct {
		name, receiver string
		client         func(text string) client
	}{
		{"udp", "udp.syslog", func(text string) client { return logger("5514", "--udp", text) }},
		{"tcp with line feeds", "tcp.syslog", func(text string) client { return logger("5140", "--tcp", text) }},
		{"tcp with octet counts", "tcp.syslog", func(text string) client { return logger("5140", "--tcp", "--octet-count", text) }},
		{"tls", "tcp.syslog-tls", overTLS},
	} {
		t.Run(c.name, func(t *testing.T) { comesOut(t, q, c.receiver, c.client) })
	}
	t.Run("banner", func(t *testing.T) { banner(t, q) })
	t.Run("status", func(t *testing.T) { showsStatus(t, q) })
	t.Run("secrets", func(t *testing.T) { keepsSecrets(t, q) })
	t.Run("stop", func(t *testing.T) { stops(t, q) })
}

// client is a call of somebody else's program.
type client struct {
	input, name string
	args        []string
}

// logger sends by logger(1).
func logger(port string, args ...string) client {
	return client{name: "logger", args: append([]string{"--server", "127.0.0.1", "--port", port, "--rfc5424"}, args...)}
}

// overTLS sends one line as the README says.
func overTLS(text string) client {
	return client{
		input: "<14>1 - - me - - - " + text + "\n", name: "openssl",
		args: []string{"s_client", "-connect", quickTLS, "-quiet", "-no_ign_eof"},
	}
}

func (c client) run(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath(c.name)
	if err != nil {
		t.Skipf("%s is not installed", c.name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, c.args...)
	cmd.Stdin = strings.NewReader(c.input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", c.name, err, out)
	}
}

// comesOut sends one line and looks at it on the far side.
func comesOut(t *testing.T, q *quickstart, receiver string, through func(string) client) {
	t.Helper()
	text := fmt.Sprintf("hello-%s-%d", receiver, time.Now().UnixNano())
	begin := time.Now()
	through(text).run(t)
	r := q.arrived(text)
	t.Logf("on the far side %v after its client was started", time.Since(begin).Round(time.Millisecond))
	if r.ID == "" || r.Receiver != receiver {
		t.Errorf("id %q, receiver %q", r.ID, r.Receiver)
	}
	if a, err := netip.ParseAddrPort(r.Remote); err != nil || !a.Addr().IsLoopback() {
		t.Errorf("remote %q", r.Remote)
	}
	if r.ReceivedAt.Before(begin.Add(-time.Second)) || r.ReceivedAt.After(time.Now()) {
		t.Errorf("received at %v, sent after %v", r.ReceivedAt, begin)
	}
	if !strings.HasPrefix(r.Payload, "<1") || !strings.HasSuffix(r.Payload, text) {
		t.Errorf("payload %q", r.Payload)
	}
}

// banner: the first thing on the screen says where to send, and what arrives is shown.
func banner(t *testing.T, q *quickstart) {
	t.Helper()
	for _, r := range q.records() {
		q.eventually("record on the screen", func() bool { return strings.Contains(q.out.String(), r.Payload) })
	}
	for _, want := range []string{quickUDP, quickTCP, quickTLS, q.recordsPath()} {
		if !strings.Contains(q.out.String(), want) {
			t.Errorf("the screen does not name %s", want)
		}
	}
}

func showsStatus(t *testing.T, q *quickstart) {
	t.Helper()
	total := uint64(len(q.records()))
	q.eventually("sink's count", func() bool {
		sinks := q.statuses()["dmz"].Sinks
		return len(sinks) == 1 && sinks[0].Records == total
	})
	all := q.statuses()
	plant, dmz := all["plant"], all["dmz"]
	var received uint64
	for _, r := range plant.Receivers {
		received += r.Records
		want := map[string]string{"udp.syslog": "OFF", "tcp.syslog": "OFF", "tcp.syslog-tls": "on"}[r.Name]
		if r.Encryption != want || r.Plugin.Status != "running" || len(r.Sockets) == 0 {
			t.Errorf("receiver %+v", r)
		}
		for _, s := range r.Sockets {
			if s.Interface != "lo" {
				t.Errorf("%s listens on %s", r.Name, s.Interface)
			}
		}
	}
	if received != total || len(plant.Receivers) != 3 || len(plant.Exceptions) != 3 {
		t.Errorf("%d records received, %d in the file; %d receivers, %d exceptions", received, total, len(plant.Receivers), len(plant.Exceptions))
	}
	if s := dmz.Sinks[0]; s.Name != "file.records" || s.Delivery != "written" || s.Plugin.Status != "running" {
		t.Errorf("sink %+v", s)
	}
	if l := dmz.Links[0]; l.Direction != "receive" || l.Lost.Batches != 0 {
		t.Errorf("link %+v", l)
	}
	text, err := q.sluice("status", "--state", q.state)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"node plant (site quickstart)", "node dmz (site quickstart)", "udp.syslog", "encryption OFF", "listening",
		"plant-to-dmz", fmt.Sprintf("%d records written", total), "trial-plain-udp", "missing: 0 batches, 0 records",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("status does not say %q:\n%s", want, text)
		}
	}
}

// stops: SIGTERM ends it with success, and no plugin stays behind.
func stops(t *testing.T, q *quickstart) {
	t.Helper()
	plugins := q.plugins()
	begin := time.Now()
	q.signal(syscall.SIGTERM)
	if err := q.ended(); err != nil {
		t.Errorf("ended with %v", err)
	}
	t.Logf("stopped in %v", time.Since(begin).Round(time.Millisecond))
	for name, pid := range plugins {
		if !gone(pid) {
			t.Errorf("plugin %s (pid %d) outlives the core", name, pid)
		}
	}
	if _, err := q.sluice("status", "--state", q.state); err == nil || !strings.Contains(err.Error(), "sluice run") {
		t.Errorf("status of what does not run: %v", err)
	}
}

// TestQuickstartSurvivesKill: the core is killed and started again from the same state. Its plugins die with it, what
// had arrived is there once, and what comes then arrives too.
func TestQuickstartSurvivesKill(t *testing.T) {
	q := newQuickstart(t)
	q.start()
	const each = 200
	sendDatagrams(t, "before", each)
	q.arrived(fmt.Sprintf("before-%d", each-1))
	plugins := q.plugins()
	if len(plugins) != 4 {
		t.Fatalf("plugins %v", plugins)
	}
	begin := time.Now()
	q.signal(syscall.SIGKILL)
	_ = q.ended() // killed
	q.eventually("end of all plugins", func() bool {
		for _, pid := range plugins {
			if !gone(pid) {
				return false
			}
		}
		return true
	})
	t.Logf("plugins were gone %v after the core was killed", time.Since(begin).Round(time.Millisecond))
	q.start()
	sendDatagrams(t, "after", each)
	q.arrived(fmt.Sprintf("after-%d", each-1))
	once(t, q, "before", each)
	once(t, q, "after", each)
	q.signal(syscall.SIGTERM)
	if err := q.ended(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// sendDatagrams sends messages 0 to n-1 over one socket.
func sendDatagrams(t *testing.T, name string, n int) {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "udp", quickUDP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // datagrams
	for i := range n {
		if _, err := fmt.Fprintf(conn, "<14>1 - - me - - - %s-%d", name, i); err != nil {
			t.Fatal(err)
		}
	}
}

// once: every message is there exactly once, under an id of its own.
func once(t *testing.T, q *quickstart, name string, n int) {
	t.Helper()
	ids, texts := map[string]bool{}, map[string]int{}
	for _, r := range q.records() {
		if ids[r.ID] {
			t.Errorf("id %s twice", r.ID)
		}
		ids[r.ID] = true
		texts[strings.TrimPrefix(r.Payload, "<14>1 - - me - - - ")]++
	}
	for i := range n {
		if got := texts[fmt.Sprintf("%s-%d", name, i)]; got != 1 {
			t.Errorf("%s-%d is there %d times", name, i, got)
		}
	}
}

// keepsSecrets looks for the link's key and the TLS key wherever somebody else could read them: arguments and
// environments of all processes of this tree, the log (at its most talkative), status, and every file of the state
// directory but the two that hold them.
func keepsSecrets(t *testing.T, q *quickstart) {
	t.Helper()
	secrets := secretsOf(t, q)
	text, err := q.sluice("status", "--state", q.state)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := q.sluice("status", "--json", "--state", q.state)
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{"log": q.out.String(), "status": text, "status --json": raw}
	pids := q.plugins()
	pids["core"] = q.cmd.Process.Pid
	for name, pid := range pids {
		for _, file := range []string{"cmdline", "environ"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil {
				t.Fatal(err)
			}
			if name != "core" && file == "environ" && strings.Contains(string(b), "HOME=") {
				t.Errorf("%s was given the core's environment: %q", name, b)
			}
			places[name+" "+file] = string(b)
		}
	}
	filesOf(t, q, places)
	for where, content := range places {
		for what, secret := range secrets {
			if strings.Contains(content, secret) {
				t.Errorf("%s holds %s", where, what)
			}
		}
	}
}

// secretsOf reads the keys that the quickstart has made, in the forms in which they could leak.
func secretsOf(t *testing.T, q *quickstart) map[string]string {
	t.Helper()
	secrets := map[string]string{}
	addForms(t, secrets, "the TLS key", keyFile(t, q, "plant/certificates/*.key"))
	for _, pattern := range []string{"keys/*.send.json", "keys/*.receive.json"} {
		var keys struct {
			PSK     string `json:"psk"`
			Private string `json:"hpke_private"`
		}
		if err := json.Unmarshal([]byte(keyFile(t, q, pattern)), &keys); err != nil || keys.PSK == "" {
			t.Fatalf("%s: no pre-shared key, %v", pattern, err)
		}
		addForms(t, secrets, "the link's pre-shared key", keys.PSK)
		if keys.Private != "" {
			addForms(t, secrets, "the link's private key", keys.Private)
		}
	}
	return secrets
}

// keyFile reads the one file of a pattern, which only its owner may read.
func keyFile(t *testing.T, q *quickstart, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(q.state, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	st, err := os.Stat(found[0])
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%s: mode %v, %v", found[0], st.Mode(), err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// filesOf adds every file below the state directory but the keys themselves.
func filesOf(t *testing.T, q *quickstart, places map[string]string) {
	t.Helper()
	// Files come and go while nodes run: what cannot be read any more is passed over.
	err := filepath.WalkDir(q.state, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(path, "/keys/") || strings.HasSuffix(path, ".key") {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return nil
		}
		defer f.Close() //nolint:errcheck // read only
		const most = 64 << 20
		b, err := io.ReadAll(io.LimitReader(f, most))
		places[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// addForms adds a key as the text that its file holds and as the bytes that the text stands for.
func addForms(t *testing.T, secrets map[string]string, what, text string) {
	t.Helper()
	if block, _ := pem.Decode([]byte(text)); block != nil {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		private, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			t.Fatalf("%s: %T", what, key)
		}
		scalar, err := private.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		secrets[what] = string(scalar)
		secrets[what+" in base64"] = strings.Split(text, "\n")[1]
		return
	}
	raw, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) == 0 {
		t.Fatalf("%s: %v", what, err)
	}
	secrets[what], secrets[what+" in hexadecimal"] = string(raw), strings.TrimSpace(text)
}
