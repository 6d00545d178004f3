node "near" {}
