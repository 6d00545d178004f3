# Other software in the plant: syslog over TLS, archived in files in the DMZ.

receiver "tcp" "syslog" {
  node       = node.gw-plant
  port       = 6514 # syslog over TLS, RFC 5425
  allow_from = [local.plant_network]

  config {
    protocol = "syslog"
    critical = "err" # errors and worse travel before all else, with more protection (diode.hcl, fec.critical)

    tls {
      certificate = "gw-plant" # a certificate and key of this name, which the node holds
    }
  }
}

sink "file" "archive" {
  node = node.gw-dmz

  config {
    path     = "/var/lib/sluice/archive/records.ndjson"
    max_size = "1GiB" # of all files together
  }
}

route "syslog" {
  from = [receiver.tcp.syslog]
  via  = diode.plant-to-dmz
  to   = [sink.file.archive]
}
