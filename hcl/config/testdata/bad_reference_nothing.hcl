gateway {
  site = "test"
}

node "near" {}

receiver "udp" "r" {
  node = node.near
  port = 5514

  config {
    protocol = "sealed"
  }
}

route "x" {
  from = [receiver.udp.r]
  to   = [sink.file.s]
}
