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

sink "file" "s" {
  node = node.near

  config {
    path = "x"
  }
}

route "x" {
  from = [receiver.udp.r]
  to   = [sink.file.s]
}
