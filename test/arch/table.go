package arch

// module is the path of this module.
const module = "github.com/sluice-gateway/sluice/"

// room is one line of the import table: what a folder may import of ours
// beside itself. The longest matching folder counts.
type room struct {
	folder string
	may    []string
	// apart says that the folders directly below are rooms of their own, which
	// may not import each other.
	apart bool
}

// rooms is the import table of the architecture.
func rooms() []room {
	return []room{
		{folder: "internal", apart: true},
		{folder: "sdk", may: []string{"internal"}},
		{folder: "diode", may: []string{"internal"}},
		{folder: "handover", may: []string{"internal"}},
		{folder: "wire", may: []string{"internal"}},
		{folder: "hcl", may: []string{"internal"}},
		{folder: "hcl/schema", may: []string{"hcl", "sdk", "internal"}},
		{folder: "gateway", may: []string{"sdk", "diode", "hcl", "handover", "internal"}},
		{folder: "gateway/spool", may: []string{"internal"}},
		{folder: "gateway/guard", may: []string{"internal"}},
		{folder: "plugins", may: []string{"sdk", "wire", "internal"}, apart: true},
		{folder: "agent", may: []string{"wire", "handover", "internal"}},
		{folder: "cmd", may: []string{"agent", "diode", "gateway", "handover", "hcl", "internal", "plugins", "sdk", "wire"}, apart: true},
		{folder: "docs/examples", may: []string{"sdk"}},
		{folder: "test", may: []string{"agent", "diode", "gateway", "handover", "hcl", "internal", "plugins", "sdk", "wire"}},
		{folder: "image", may: []string{"internal"}},
		{folder: "packaging"},
	}
}

// testsMay lists what every test may import in addition.
func testsMay() []string { return []string{"test", "internal"} }

// fence keeps a third-party library in few folders, so that it can be
// exchanged and its side effects stay visible.
type fence struct {
	library string
	folders []string
}

func fences() []fence {
	return []fence{
		{"github.com/vishvananda/netlink", []string{"gateway/guard", "test/netlab"}},
		{"github.com/google/nftables", []string{"gateway/guard", "test/netlab"}},
		{"github.com/hashicorp/go-plugin", []string{"sdk", "gateway/pluginhost"}},
		{"github.com/klauspost/reedsolomon", []string{"diode/fec"}},
		{"github.com/google/gopacket", []string{"diode", "gateway/guard", "test"}},
		{"github.com/cilium/ebpf", []string{"gateway/guard", "test/netlab", "test/matrix"}},
		{"github.com/elastic/go-seccomp-bpf", []string{"gateway/pluginhost", "gateway/guard/warden"}},
		{"github.com/rs/zerolog", []string{"cmd", "gateway", "internal/zlog"}},
	}
}

// Bounds on size, in lines. From the style: the median file is 80 to 150
// lines; whatever needs more has more than one duty.
const (
	maxFileLines     = 600
	maxFunctionLines = 80
)

// vagueNames are folder names that say nothing about what is inside.
func vagueNames() []string {
	return []string{"util", "utils", "common", "helper", "helpers", "manager", "managers", "pkg", "misc", "lib"}
}

// leftovers must not stand anywhere in the tree. They are written in two
// parts, so that this file does not find itself.
func leftovers() []string {
	return []string{"TO" + "DO", "FIX" + "ME", "/wo" + "rk/", "../sha" + "red", "/tm" + "p/brief"}
}

// constructors are the calls whose results may be kept in a package-level
// variable: they are never written to again.
func constructors() []string {
	return []string{
		"errors.New", "fmt.Errorf", "regexp.MustCompile", "template.Must",
		"netip.MustParseAddr", "netip.MustParseAddrPort", "netip.MustParsePrefix",
		"crc32.MakeTable", "strings.NewReplacer", "slog.New", "time.Date", "[]byte", "cty.Object", "cty.Map", "cty.List",
	}
}
