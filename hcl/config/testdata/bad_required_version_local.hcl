gateway {
  required_version = local.v
  site             = "test"
}
