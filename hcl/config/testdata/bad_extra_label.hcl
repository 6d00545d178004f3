gateway {
  site = "test"
}

node "near" "plant" {}
