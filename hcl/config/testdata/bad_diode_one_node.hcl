gateway {
  site = "test"
}

node "near" {}

diode "d" {
  from    = node.near
  to      = node.near
  pairing = "2026-11"

  send {
    interface   = "eno2"
    source      = "10.99.0.1"
    destination = "10.99.0.2:5760"
  }

  receive {
    interface = "eno1"
  }
}
