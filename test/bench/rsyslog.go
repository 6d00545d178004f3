package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// rsyslogConf is the yardstick: TLS and UDP in, one file out, nothing else configured. The file gets the message as it
// came, the cheapest thing that rsyslog can write. It acknowledges nothing and syncs nothing.
const rsyslogConf = `global(
  workDirectory="{{.Dir}}"
  defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile="{{.Cert}}"
  defaultNetstreamDriverCertFile="{{.Cert}}"
  defaultNetstreamDriverKeyFile="{{.Key}}"
)
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon" maxSessions="2000")
module(load="imudp")
template(name="raw" type="string" string="%rawmsg%\n")
input(type="imtcp" address="127.0.0.1" port="{{.TLS}}")
input(type="imudp" address="127.0.0.1" port="{{.UDP}}")
action(type="omfile" file="{{.Output}}" template="raw")
`

// startRsyslog runs the yardstick.
func startRsyslog(ctx context.Context, l *lab) (*side, error) {
	dir, err := l.place()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	s := &side{
		name: "rsyslog", dir: dir, output: filepath.Join(dir, "out"),
		tls: fmt.Sprintf("127.0.0.1:%d", ports[0]), udp: fmt.Sprintf("127.0.0.1:%d", ports[1]),
	}
	var b bytes.Buffer
	values := map[string]any{"Dir": dir, "Cert": l.certFile, "Key": l.keyFile, "TLS": ports[0], "UDP": ports[1], "Output": s.output}
	if err := template.Must(template.New("rsyslog").Parse(rsyslogConf)).Execute(&b, values); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, b.Bytes(), 0o600); err != nil {
		return nil, err
	}
	if err := s.start(ctx, "rsyslogd", l.rsyslogd, "-n", "-f", conf, "-i", filepath.Join(dir, "pid")); err != nil {
		return nil, s.abandon(err)
	}
	if err := await(ctx, "rsyslogd", func() (bool, error) { return listening(ctx, s.tls, ports[1]) }); err != nil {
		return nil, s.abandon(err)
	}
	return s, nil
}

// listening tells whether a TCP port takes connections and a UDP port has a socket, proc(5): /proc/net/udp.
func listening(ctx context.Context, tcp string, udp int) (bool, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", tcp)
	if err != nil {
		return false, err
	}
	if err := conn.Close(); err != nil {
		return false, err
	}
	sockets, err := os.ReadFile("/proc/net/udp")
	return strings.Contains(string(sockets), fmt.Sprintf(":%04X ", udp)), err
}
