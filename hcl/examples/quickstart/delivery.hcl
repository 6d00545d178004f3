# What goes where, and in which form it arrives: one JSON object per record in a file on the far side.

route "everything" {
  from = [receiver.udp.syslog, receiver.tcp.syslog, receiver.tcp.syslog-tls]
  via  = diode.plant-to-dmz
  to   = [sink.file.records]
}

sink "file" "records" {
  node = node.dmz

  config {
    path = "out/records.ndjson" # a relative path begins in the state directory
  }
}
