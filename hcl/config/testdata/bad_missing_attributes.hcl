gateway {
  site = "test"
}

node "near" {}

receiver "udp" "r" {}
