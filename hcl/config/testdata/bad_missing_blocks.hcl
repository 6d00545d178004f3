gateway {
  site = "test"
}

node "near" {}

node "far" {}

diode "d" {
  from    = node.near
  to      = node.far
  pairing = "2026-11"
}
