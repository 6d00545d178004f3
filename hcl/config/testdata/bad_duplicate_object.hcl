gateway {
  site = "test"
}

node "near" {}

node "near" {
  new_interfaces = "service"
}
