gateway {
  site = "test"
}

node "near" {
  spool {
    max_size = 20GiB
  }
}
