gateway {
  site = "test"
}

node "GW Plant" {}

node "7-up" {}
