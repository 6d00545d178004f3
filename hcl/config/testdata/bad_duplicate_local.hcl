gateway {
  site = "test"
}

locals {
  a = 1
}

locals {
  a = 2
}
