# Every weakened defence is written down, with a reason, a name and an end date. `sluice status` lists them, 30 days
# before the end there is a warning, and after the last day the receiver closes.

exception "trial-plain-udp" {
  allows      = "unencrypted_udp"
  on          = receiver.udp.syslog
  reason      = "trial on the loopback interface: nothing leaves this machine"
  approved_by = "whoever started the quickstart"
  until       = "2036-12-31"
}

exception "trial-plain-tcp" {
  allows      = "unencrypted_tcp"
  on          = receiver.tcp.syslog
  reason      = "trial on the loopback interface: nothing leaves this machine"
  approved_by = "whoever started the quickstart"
  until       = "2036-12-31"
}

# So that the trial starts everywhere: some systems forbid ordinary users what the sandbox of plugins is made of. What
# is there is used all the same, and `sluice status` names what is not.

exception "trial-sandbox-plant" {
  allows      = "degraded_sandbox"
  on          = node.plant
  reason      = "trial with plugins that came with the gateway"
  approved_by = "whoever started the quickstart"
  until       = "2036-12-31"
}

exception "trial-sandbox-dmz" {
  allows      = "degraded_sandbox"
  on          = node.dmz
  reason      = "trial with plugins that came with the gateway"
  approved_by = "whoever started the quickstart"
  until       = "2036-12-31"
}
