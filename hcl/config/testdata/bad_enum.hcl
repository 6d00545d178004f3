gateway {
  site = "test"
}

node "near" {
  new_interfaces = "close"

  spool {
    when_full = "drop_new"
  }
}
