# What the plant node listens to. A receiver names a port and no interface: it listens on every service interface.
# Try: logger --server 127.0.0.1 --port 5514 --udp --rfc5424 hello

receiver "udp" "syslog" {
  node = node.plant
  port = 5514

  config {
    protocol = "syslog"
  }
}

receiver "tcp" "syslog" {
  node = node.plant
  port = 5140

  config {
    protocol = "syslog"
  }
}

# The same over TLS. Try: echo '<14>1 - - - - - - hello' | openssl s_client -quiet -connect 127.0.0.1:6514
receiver "tcp" "syslog-tls" {
  node = node.plant
  port = 6514

  config {
    protocol = "syslog"

    tls {
      certificate = "auto" # a self-signed pair, made at first start under the state directory: for a trial only
    }
  }
}
