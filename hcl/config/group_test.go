package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/hcl/config"
)

// diodeText is a diode from node.near with an interface and a port of its own.
func diodeText(name, to, more string) string {
	port := 5760 + int(name[0])
	return fmt.Sprintf("diode %q {\nfrom = node.near\nto = node.%s\npairing = \"p\"\n"+
		"send {\ninterface = \"tx-%s\"\nsource = \"10.0.0.1\"\ndestination = \"10.0.0.2:%d\"\n}\nreceive {\ninterface = \"rx-%s\"\n}\n%s}\n", name, to, name, port, name, more)
}

// loadDiodes loads blocks beside the nodes near, far and other.
func loadDiodes(t *testing.T, whenFull string, blocks ...string) *config.Config {
	t.Helper()
	c, problems := loadText("a.hcl", minimal+"node \"near\" {}\nnode \"other\" {}\nnode \"far\" {\nspool {\nwhen_full = \""+whenFull+"\"\n}\n}\n"+strings.Join(blocks, ""))
	if problems.HasErrors() {
		t.Fatalf("problems:\n%s", problems)
	}
	return c
}

// TestGroups: diodes that the same receivers cross carry one series; every node derives the same names, in whatever
// order the words stand.
func TestGroups(t *testing.T) {
	receiver := func(name string, port int, more string) string {
		return fmt.Sprintf("receiver \"udp\" %q {\nnode = node.near\nport = %d\n%s}\n", name, port, more)
	}
	const sinks = "sink \"file\" \"s\" {\nnode = node.far\n}\nsink \"file\" \"o\" {\nnode = node.other\n}\n"
	for name, x := range map[string]struct {
		blocks                []string
		send, receive, others string
	}{
		"two in parallel, one alone": {
			blocks: []string{
				diodeText("c", "far", ""), diodeText("b", "far", ""), diodeText("a", "far", ""), receiver("r", 1, ""), receiver("q", 2, ""), receiver("x", 3, ""),
				"route \"one\" {\nfrom = [receiver.udp.r, receiver.udp.q]\nvia = [diode.c, diode.a]\nto = [sink.file.s]\n}\n",
				"route \"two\" {\nfrom = [receiver.udp.x]\nvia = diode.b\nto = [sink.file.s]\n}\n",
			},
			send:    "a+c(a c: receiver.udp.q receiver.udp.r) b(b: receiver.udp.x)",
			receive: "a+c(a c: receiver.udp.q receiver.udp.r) b(b: receiver.udp.x)",
		},
		"one series to two places": {
			blocks: []string{
				diodeText("b", "other", ""), diodeText("a", "far", ""), receiver("r", 1, ""),
				"route \"one\" {\nfrom = [receiver.udp.r]\nvia = diode.b\nto = [sink.file.o]\n}\n",
				"route \"two\" {\nfrom = [receiver.udp.r]\nvia = diode.a\nto = [sink.file.s]\n}\n",
			},
			send: "a+b(a b: receiver.udp.r)", receive: "a(a: receiver.udp.r)", others: "b(b: receiver.udp.r)",
		},
		"a receiver that is off renames nothing": {
			blocks: []string{
				diodeText("a", "far", ""), diodeText("b", "far", ""), receiver("r", 1, "enabled = false\n"),
				"route \"one\" {\nfrom = [receiver.udp.r]\nvia = [diode.b, diode.a]\nto = [sink.file.s]\n}\n",
			},
			send: "a+b(a b: )", receive: "a+b(a b: )",
		},
		"no route": {blocks: []string{diodeText("b", "far", ""), diodeText("a", "far", "")}, send: "a(a: ) b(b: )", receive: "a(a: ) b(b: )"},
	} {
		t.Run(name, func(t *testing.T) {
			c := loadDiodes(t, "drop-new", append(x.blocks, sinks)...)
			near, far, other := c.For("near"), c.For("far"), c.For("other")
			if got := groupText(near.SendGroups()); got != x.send {
				t.Errorf("near sends %s, want %s", got, x.send)
			}
			if got := groupText(far.ReceiveGroups()); got != x.receive {
				t.Errorf("far receives %s, want %s", got, x.receive)
			}
			if got := groupText(other.ReceiveGroups()); got != x.others {
				t.Errorf("other receives %s, want %s", got, x.others)
			}
			if len(near.ReceiveGroups()) != 0 || len(far.SendGroups()) != 0 {
				t.Error("a diode has its wrong end here")
			}
		})
	}
}

func groupText(groups []config.GroupView) string {
	var out []string
	for _, g := range groups {
		var links []string
		for _, l := range g.Links {
			links = append(links, l.Diode.Name)
			if l.Group != g.Name {
				links = append(links, "of group "+l.Group)
			}
		}
		out = append(out, fmt.Sprintf("%s(%s: %s)", g.Name, strings.Join(links, " "), strings.Join(g.Receivers, " ")))
	}
	return strings.Join(out, " ")
}
