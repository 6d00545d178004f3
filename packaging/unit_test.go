package packaging_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unit is one unit file: the values of each key, in order.
type unit map[string][]string

func readUnit(t *testing.T, name string) unit {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("systemd", name))
	if err != nil {
		t.Fatal(err)
	}
	u := unit{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			u[key] = append(u[key], value)
		}
	}
	return u
}

// words returns all words of a key, sorted.
func (u unit) words(key string) []string {
	return slices.Sorted(strings.FieldsSeq(strings.Join(u[key], " ")))
}

func (u unit) flag(key string) bool { return len(u[key]) == 1 && u[key][0] == "yes" }

// documented reads the rows of docs/threat-model.md that say which unit runs
// as which user with which capabilities.
func documented(t *testing.T) map[string][2]string {
	t.Helper()
	data, err := os.ReadFile("../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][2]string{}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 {
			continue
		}
		name := strings.Trim(strings.TrimSpace(cells[1]), "`")
		if strings.HasSuffix(name, ".service") {
			rows[name] = [2]string{strings.Trim(strings.TrimSpace(cells[2]), "`"), strings.TrimSpace(cells[3])}
		}
	}
	return rows
}

// TestThreatModelNamesTests follows the column "tested in": each folder that
// it names has tests.
func TestThreatModelNamesTests(t *testing.T) {
	data, err := os.ReadFile("../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	follows, named := false, 0
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 {
			follows = false
			continue
		}
		if strings.TrimSpace(cells[3]) == "tested in" {
			follows = true
		}
		for i, word := range strings.Split(cells[3], "`") {
			if !follows || i%2 == 0 {
				continue
			}
			named++
			if tests, _ := filepath.Glob(filepath.Join("..", word, "*_test.go")); len(tests) == 0 {
				t.Errorf("%s is said to be tested in %s, which has no tests", strings.TrimSpace(cells[1]), word)
			}
		}
	}
	if named < 30 {
		t.Errorf("found only %d names: has the table changed?", named)
	}
}

// TestPrivileges compares the units with what auditors are told.
func TestPrivileges(t *testing.T) {
	rows := documented(t)
	for _, name := range []string{"sluice.service", "sluice-guard.service"} {
		u, row := readUnit(t, name), rows[name]
		if got := strings.Join(u["User"], " "); got != row[0] {
			t.Errorf("%s: User=%s, documented %q", name, got, row[0])
		}
		want := slices.Sorted(strings.FieldsSeq(strings.NewReplacer(",", " ", "none", "").Replace(row[1])))
		for _, key := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
			if _, ok := u[key]; !ok || !slices.Equal(u.words(key), want) {
				t.Errorf("%s: %s=%v, documented %v", name, key, u.words(key), want)
			}
		}
		if !u.flag("NoNewPrivileges") {
			t.Errorf("%s: NoNewPrivileges is not set", name)
		}
	}
}

// TestWhatUnitsMustNotSet keeps hardening out that would break the guard or
// the sandbox of plugins, or quietly hide what they work on.
func TestWhatUnitsMustNotSet(t *testing.T) {
	for name, keys := range map[string]map[string]string{
		"sluice-guard.service": {
			"ProtectKernelTunables": "it writes /proc/sys/net",
			"PrivateNetwork":        "it would not see the interfaces",
			"PrivateUsers":          "its capabilities would not count on the machine's network",
		},
		"sluice.service": {
			"RestrictNamespaces":    "plugins are confined by namespaces",
			"ProtectControlGroups":  "each plugin has limits of its own",
			"ProtectKernelTunables": "it locks /proc, which the sandbox works with",
			"RestrictSUIDSGID":      "it forbids openat2, which the sandbox opens paths with",
			"ProtectProc":           "who asks on the status socket is read there",
			"PrivateNetwork":        "it listens",
			"Requires":              "the guard's end must not end the gateway",
			"BindsTo":               "the guard's end must not end the gateway",
		},
	} {
		u := readUnit(t, name)
		for key, why := range keys {
			if v, ok := u[key]; ok {
				t.Errorf("%s: %s=%v: %s", name, key, v, why)
			}
		}
	}
}

// TestWhatUnitsMustSet names what the documents promise.
func TestWhatUnitsMustSet(t *testing.T) {
	both := map[string]string{
		"ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "MemoryDenyWriteExecute": "yes",
		"LockPersonality": "yes", "SystemCallArchitectures": "native", "UMask": "0077", "LimitCORE": "0",
		"StateDirectoryMode": "0700", "StartLimitIntervalSec": "0",
	}
	own := map[string]map[string]string{
		"sluice-guard.service": {
			"Type": "notify", "NotifyAccess": "main", "Restart": "always", "FileDescriptorStorePreserve": "yes",
			"Before": "network-pre.target shutdown.target", "Wants": "network-pre.target", "DefaultDependencies": "no",
			"RestrictAddressFamilies": "AF_UNIX AF_NETLINK AF_PACKET AF_INET AF_INET6", "RestrictSUIDSGID": "yes",
		},
		"sluice.service": {
			"Restart": "on-failure", "Delegate": "yes", "LimitNOFILE": "65536", "OOMPolicy": "continue",
			"ExecStartPre": "/usr/bin/sluice validate --config /etc/sluice/conf.d " +
				"+/usr/bin/sluice guard order --config /etc/sluice/conf.d --state /var/lib/sluice --warden /run/sluice/guard.sock $SLUICE_RUN",
			// Without AF_PACKET also inside the user namespaces of plugins.
			"RestrictAddressFamilies": "AF_UNIX AF_NETLINK AF_INET AF_INET6",
		},
	}
	for name, more := range own {
		u := readUnit(t, name)
		for _, wanted := range []map[string]string{both, more} {
			for key, want := range wanted {
				if got := strings.Join(u[key], " "); got != want {
					t.Errorf("%s: %s=%q, want %q", name, key, got, want)
				}
			}
		}
	}
}

// TestNothingStartsWithoutConfiguration reads the condition, and that the
// scripts enable nothing.
func TestNothingStartsWithoutConfiguration(t *testing.T) {
	want := []string{"|/etc/sluice/conf.d/*.hcl", "|/etc/sluice/conf.d/*.hcl.json"}
	if got := readUnit(t, "sluice.service")["ConditionPathExistsGlob"]; !slices.Equal(got, want) {
		t.Errorf("condition %v, want %v", got, want)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		data, err := os.ReadFile(filepath.Join("scripts", script))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"systemctl enable", "systemctl start", "systemctl restart"} {
			if strings.Contains(string(data), word) {
				t.Errorf("%s has %q", script, word)
			}
		}
	}
}
