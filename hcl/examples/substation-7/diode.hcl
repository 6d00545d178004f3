# The data diode between the two nodes. Give each end an interface of its own that carries nothing else.

diode "plant-to-dmz" {
  from    = node.gw-plant
  to      = node.gw-dmz
  pairing = "2026-11" # the keys are with each node, never here

  send {
    interface       = "eno2"
    source          = "10.99.0.1"
    destination     = "10.99.0.2:5760"
    destination_mac = "02:00:5e:10:00:02" # nothing answers ARP through a diode
    rate            = "600Mbit"
    keep_sent       = "14d" # for sending again; given up before anything unsent is refused
  }

  receive {
    interface   = "eno1"
    alarm_after = "5s" # without a heartbeat
  }

  fec {
    parity     = "25%" # 1 repair frame per 4 data frames: 20% of the wire
    interleave = 8
    max_delay  = "10ms"
  }
}
