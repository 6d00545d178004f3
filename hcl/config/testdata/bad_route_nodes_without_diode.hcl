gateway {
  site = "test"
}

node "near" {}

node "far" {}

receiver "udp" "r" {
  node = node.near
  port = 5514

  config {
    protocol = "sealed"
  }
}

sink "file" "s" {
  node = node.far

  config {
    path = "x"
  }
}

route "x" {
  from = [receiver.udp.r]
  to   = [sink.file.s]
}
