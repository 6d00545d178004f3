gateway {
  site = "test"
}

site = "test"
