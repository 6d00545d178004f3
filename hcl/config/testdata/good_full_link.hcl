gateway {
  site = "test"
}

node "near" {}

node "far" {}

diode "d" {
  from             = node.near
  to               = node.far
  pairing          = "2026-11"
  previous_pairing = "2025-11"

  send {
    interface   = "eno2"
    source      = "10.99.0.1"
    destination = "10.99.0.2:5760"
    rate        = "600Mbit"
    resend_rate = "50Mbit"
  }

  receive {
    interface = "eno1"
    capture   = "packet"
    source    = "10.99.0.77"
    memory    = "512MiB"
    when_full = "drop-oldest"
  }

  fec {
    parity = "15%"
    repeat = ["1s"]

    critical {
      parity      = "100%"
      design_loss = "10%"
      max_delay   = "1ms"
      repeat      = ["500ms", "2s", "8s"]
    }
  }
}

receiver "udp" "r" {
  node  = node.near
  port  = 5514
  class = "critical"

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
