gateway {
  site = "test"
}

node "near" {
  monitoring_points  = ["mac:1234", "path:"]
  service_interfaces = ["eth0:1"]
}
