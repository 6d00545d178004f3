gateway {
  site = "test"
}

locals {
  plant_net = "10.20.0.0/24"
}

node "near" {
  new_interfaces = local.plant_nets
}
