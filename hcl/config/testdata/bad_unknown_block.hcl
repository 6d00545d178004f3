gateway {
  site = "test"
}

reciever "udp" "r" {}
