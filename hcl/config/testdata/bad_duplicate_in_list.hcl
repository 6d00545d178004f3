gateway {
  site = "test"
}

node "near" {
  monitoring_points = ["eno3", "eno4", "eno3"]
}
