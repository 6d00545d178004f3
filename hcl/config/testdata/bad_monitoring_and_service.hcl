gateway {
  site = "test"
}

node "near" {
  monitoring_points  = ["eno3"]
  service_interfaces = ["eno3", "eno4"]
}
