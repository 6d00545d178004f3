gateway {
  site = "test"
}

node "near" {}

receiver "tcp" "r" {
  node = node.near
  port = 8081
  connect = ["10.30.0.10:8081"]

  config {
    protocol = "relay"
    encryption = "tls"
  }
}
