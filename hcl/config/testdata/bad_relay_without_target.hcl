gateway {
  site = "test"
}

node "near" {}

receiver "tcp" "r" {
  node = node.near
  port = 8081

  config {
    protocol = "relay"
    encryption = "tls"
  }
}
