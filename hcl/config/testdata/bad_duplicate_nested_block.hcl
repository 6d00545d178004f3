gateway {
  site = "test"
}

node "near" {
  spool {}
  spool {}
}
