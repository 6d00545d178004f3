# The quickstart: a whole site on the loopback interface of one machine, without root. It needs no other file:
# `sluice run` with no --config uses this one. Copy the directory to try something else.
#
# Two nodes run side by side. "plant" receives and sends over the diode; "dmz" receives from the diode and delivers.
# In a plant each node is a machine of its own, and the diode is a wire on which nothing can come back.

gateway {
  required_version = ">= 0.1"
  site             = "quickstart"
}

node "plant" {
  # Only these interfaces are opened. A real node leaves this out: then every interface serves that is neither a
  # monitoring point nor a diode's, and monitoring_points names those that must never be touched.
  service_interfaces = ["lo"]

  spool {
    max_size  = "1GiB"
    when_full = "refuse" # TCP clients wait; UDP cannot be told: its records are dropped, counted and shown
  }
}

node "dmz" {
  service_interfaces = ["lo"]

  spool {
    max_size  = "1GiB"
    when_full = "drop-new" # behind a diode nobody can be asked to wait: what is dropped is counted and named as a gap
  }
}
