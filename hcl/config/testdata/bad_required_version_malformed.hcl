gateway {
  required_version = "newest"
  site             = "test"
}
