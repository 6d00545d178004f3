# The data diode between the two nodes. Give each end an interface of its own that carries nothing else.

diode "plant-to-dmz" {
  from    = node.gw-plant
  to      = node.gw-dmz
  pairing = "2026-11" # the keys are with each node, never here
  # previous_pairing = "2025-11" # while keys are changed: the receiving end still takes these

  send {
    interface       = "eno2"
    source          = "10.99.0.1"
    destination     = "10.99.0.2:5760"
    destination_mac = "02:00:5e:10:00:02" # nothing answers ARP through a diode
    rate            = "600Mbit"
    resend_rate     = "100Mbit" # of rate, for what is sent again; the default is a quarter
    keep_sent       = "14d"     # for sending again; given up before anything unsent is refused
  }

  receive {
    interface   = "eno1"
    alarm_after = "5s"       # without a heartbeat
    memory      = "256MiB"   # for what waits: behind a missing batch, or for the disk
    when_full   = "drop-new" # nobody can be told to wait: what is dropped is named as a gap and can be sent again
  }

  fec {
    parity     = "25%" # 1 repair frame per 4 data frames: 20% of the wire
    interleave = 8
    max_delay  = "10ms"

    # Alerts (see syslog.hcl) are few: twice the data and two repeats cost next to nothing and bridge a link that is down
    # for some seconds.
    critical {
      parity    = "100%"
      max_delay = "2ms"
      repeat    = ["500ms", "3s"]
    }
  }
}
