gateway {
  site = "test"
}

node "near" {}

receiver "udp" "r" {
  node = node.near
  port = 5514
  enabled = false

  config {
    protocol = "syslog"
  }
}
