# Genuine Kaspersky agents in UDP mode: their datagrams are passed on unread, byte for byte, to a node of KICS for
# Networks. The agents' keys and packages come from KICS for Networks, not from Sluice.

receiver "udp" "kics-agents" {
  node       = node.gw-plant
  port       = 20001 # example only: the vendor documents no default; use your installation's port
  allow_from = [local.plant_network]

  config {
    protocol   = "opaque"
    encryption = "by-endpoint" # stated by you: the gateway cannot see it
  }
}

sink "kics" "node-a" {
  node    = node.gw-dmz
  connect = [local.kics_node] # the only target that is opened for this sink

  config {
    mode = "telemetry"
    rate = "2000/s"
  }
}

route "kics-telemetry" {
  from = [receiver.udp.kics-agents]
  via  = diode.plant-to-dmz
  to   = [sink.kics.node-a]
}
