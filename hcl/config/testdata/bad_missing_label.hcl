gateway {
  site = "test"
}

receiver "udp" {
  port = 1
}
