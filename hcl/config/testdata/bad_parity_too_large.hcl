gateway {
  site = "test"
}

node "near" {}

node "far" {}

diode "d" {
  from    = node.near
  to      = node.far
  pairing = "2026-11"

  send {
    interface   = "eno2"
    source      = "10.99.0.1"
    destination = "10.99.0.2:5760"
  }

  receive {
    interface = "eno1"
  }

  fec {
    parity = "150%"
  }
}

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
  via  = diode.d
  to   = [sink.file.s]
}
