gateway {
  site = "test"
}

node "near" {
  monitoring_points = ["eno3"
}
