gateway {
  site = "test"
}

node "near" {
  spool {
    wehn_full = "drop-new"
    max       = "1GiB"
  }
}
