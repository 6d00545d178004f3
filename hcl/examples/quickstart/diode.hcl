# The one-way link between the two nodes. It is the real one (sealed frames, forward error correction, pacing), over UDP
# on the loopback interface. Both ends are configured here, so they cannot differ.

diode "plant-to-dmz" {
  from    = node.plant
  to      = node.dmz
  pairing = "quickstart" # names the keys; in the quickstart they are made at first start, under the state directory

  send {
    interface   = "lo"
    source      = "127.0.0.1"
    destination = "127.0.0.1:5760"
    rate        = "200Mbit"
    keep_sent   = "1d" # kept so that a named gap can be sent again
  }

  receive {
    interface   = "lo"
    alarm_after = "5s" # without a heartbeat
  }

  fec {
    parity    = "25%" # 1 repair frame per 4 data frames
    max_delay = "10ms"
  }
}
