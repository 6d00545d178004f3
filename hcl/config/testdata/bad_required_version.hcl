gateway {
  required_version = ">= 2.0"
  site             = "test"
  word_of_the_future = true
}
