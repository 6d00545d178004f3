gateway {
  site = "test"
}

node "near" {
  spool {
    max_size       = "20gib"
    keep_delivered = "3 months"
  }
}
