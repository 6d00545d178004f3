gateway {
  site = "test"
}

node "near" {
  new_interfaces = "closed"
  new_interfaces = "service"
}
