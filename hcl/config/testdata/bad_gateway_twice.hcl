gateway {
  site = "test"
}
gateway {
  site = "test"
}
