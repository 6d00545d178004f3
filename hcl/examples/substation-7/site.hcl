# A complete site: a node in the plant network, a node behind a data diode in the DMZ, genuine Kaspersky agents in UDP
# mode for KICS for Networks, and other software by syslog over TLS. The same files serve both nodes; each is started
# with its own name: `sluice run --config DIR --node gw-plant`. What differs from site to site stands in `locals`.

locals {
  plant_network = "10.20.0.0/24" # where the endpoints are
  kics_node     = "10.30.0.10:20001"
}

gateway {
  required_version = ">= 0.1"
  site             = "substation-7"
}

node "gw-plant" {
  # Mirrored plant traffic comes in here. Nothing is received on these for Sluice and nothing of Sluice leaves by them.
  monitoring_points = ["eno3"]
  new_interfaces    = "closed" # a card that appears later stays shut until it is named here or accepted

  spool {
    max_size  = "20GiB"
    when_full = "refuse" # TCP clients wait; UDP cannot be told: its records are dropped, counted and shown
  }
}

node "gw-dmz" {
  spool {
    max_size = "200GiB"
  }
}
